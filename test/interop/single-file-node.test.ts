import { testSingleFile } from "./single-file.js";

await testSingleFile("### One file with Node.js", ["bun", "postject"]);
