import { createHash } from "node:crypto";
import { vectorFile, vectorFolder } from "../support/vectors.js";

export type Result = "valid" | "invalid" | "acceptable";

/** A test of a vector file; the type says what else it has. */
export interface WycheproofTest {
  tcId: number;
  comment: string;
  result: Result;
  flags: string[];
}

export interface Group<T extends WycheproofTest> {
  tests: T[];
}

/** The groups of a file in vectors/wycheproof, whose digest is that of its list. */
export function groupsOf<G>(name: string): G[] {
  const bytes = vectorFile(`wycheproof/${name}_test.json`);
  const digest = createHash("sha256").update(bytes).digest("hex");
  const list = vectorFile("wycheproof/SHA256SUMS").toString();
  if (!list.includes(`${digest}  ${name}_test.json\n`)) {
    throw new Error(`${name} is not what its digest says`);
  }
  return (JSON.parse(bytes.toString()) as { testGroups: G[] }).testGroups;
}

/** The names of all the files, as {@link groupsOf} takes them. */
export function vectorNames(pattern: RegExp): string[] {
  return vectorFolder("wycheproof")
    .filter((name) => pattern.test(name))
    .map((name) => name.replace(/_test\.json$/, ""));
}

/** How to call a test in a list of failures. */
export function named({ tcId, comment, result, flags }: WycheproofTest): string {
  return `${String(tcId)} ${result}: ${comment} ${flags.join(" ")}`;
}

export const hex = (text: string): Buffer => Buffer.from(text, "hex");
