import { testSingleFile } from "./single-file.js";

await testSingleFile("### One file with Bun", ["bun"]);
