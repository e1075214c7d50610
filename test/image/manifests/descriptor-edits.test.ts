import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { descriptorEdits } from "../../../src/image/manifests/descriptor-edits.js";
import type { Descriptor } from "../../../src/spec/descriptor.js";
import { foldName } from "../../../src/text/json.js";
import { applyEdits, type Edit } from "../../../src/text/json-edits.js";
import { parseDocument, type LocatedDescriptor } from "../../../src/spec/manifest.js";
import { CONFIG, digestOf, MANIFEST, TAR, TAR_GZIP } from "../../support/image.js";

const PREFIX = "org.opencontainers.image.enc.";

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
type Members = [string, Json][];

/** JSON with the white space of a list at all places where some may stand, in turn. */
function write(value: Json, spaces: readonly string[]): string {
  let next = 0;
  const space = (): string => spaces[next++ % spaces.length]!;
  function list(open: string, items: readonly (() => string)[], close: string): string {
    if (items.length === 0) return open + space() + close;
    return open + items.map((item) => space() + item() + space()).join(",") + close;
  }
  function visit(part: Json): string {
    if (Array.isArray(part)) {
      return list("[", part.map((item) => () => visit(item)), "]"); // prettier-ignore
    }
    if (typeof part !== "object" || part === null) return JSON.stringify(part);
    const members = Object.entries(part).map(
      ([name, member]) =>
        () =>
          JSON.stringify(name) + space() + ":" + space() + visit(member),
    );
    return list("{", members, "}");
  }
  return space() + visit(value) + space();
}

function isUnambiguous(part: Json): boolean {
  if (typeof part !== "object" || part === null) return true;
  const names = Array.isArray(part) ? [] : Object.keys(part).map(foldName);
  return new Set(names).size === names.length && Object.values(part).every(isUnambiguous);
}

function objectOf(members: Members): Record<string, Json> {
  return Object.fromEntries(members);
}

const RESERVED = new Set(
  ["mediaType", "digest", "size", "annotations", "data", "urls", "platform", "artifactType"]
    .concat(["schemaVersion", "config", "layers", "manifests", "subject"])
    .map(foldName),
);
const name = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.constantFrom("__proto__", "size ", "data2"),
);
/** Two names that differ in case only are refused wherever they are. */
const value = fc
  .jsonValue({ maxDepth: 3 })
  .map((any) => any as Json)
  .filter(isUnambiguous);
const extras = fc.uniqueArray(
  fc.tuple(
    name.filter((candidate) => !RESERVED.has(foldName(candidate))),
    value,
  ),
  { maxLength: 3, selector: ([each]) => foldName(each) },
);
const annotations = fc
  .uniqueArray(
    fc.tuple(
      name.filter((candidate) => !candidate.startsWith(PREFIX)),
      fc.string({ unit: "binary" }),
    ),
    { maxLength: 3, selector: ([each]) => each },
  )
  .map((members) => objectOf(members));
const spaces = fc.array(fc.constantFrom("", "", " ", "\n", "\t", "\r\n  "), {
  minLength: 1,
  maxLength: 30,
});

/** The members of a layer's descriptor in any order. */
const layer = fc
  .record({
    content: fc.string(),
    mediaType: fc.constantFrom(TAR, TAR_GZIP, "application/x-é"),
    annotations: fc.oneof(fc.constantFrom(undefined, null), annotations),
    extras,
  })
  .chain(({ content, mediaType, extras: more, ...rest }) => {
    const members: Members = [
      ["mediaType", mediaType],
      ["digest", digestOf(content)],
      ["size", content.length],
      ...more,
    ];
    if (rest.annotations !== undefined) members.push(["annotations", rest.annotations]);
    return fc.shuffledSubarray(members, { minLength: members.length });
  });

const manifest = fc
  .tuple(fc.array(layer, { minLength: 1, maxLength: 4 }), extras)
  .chain(([layers, more]) => {
    const config: Json = { mediaType: CONFIG, digest: digestOf("{}"), size: 2 };
    const members: Members = [["config", config], ["layers", layers.map(objectOf)], ...more];
    return fc.shuffledSubarray(members, { minLength: members.length });
  });

function without(object: object, names: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).filter(([each]) => !names.includes(each)));
}

function layersOf(text: string): LocatedDescriptor[] {
  const document = parseDocument(Buffer.from(text), MANIFEST);
  if (document.kind !== "manifest") throw new TypeError("not a manifest");
  return document.layers;
}

function rewrite(text: string, after: (layer: LocatedDescriptor, index: number) => Descriptor) {
  const edits: Edit[] = layersOf(text).flatMap((each, i) =>
    descriptorEdits(each, after(each, i), text),
  );
  return applyEdits(text, edits);
}

/** The encrypted form of a descriptor. */
function encrypted({ descriptor }: LocatedDescriptor): Descriptor {
  const { annotations: before, ...rest } = descriptor;
  return {
    ...rest,
    mediaType: `${descriptor.mediaType}+encrypted`,
    digest: digestOf(`ciphertext of ${descriptor.digest}`),
    annotations: { ...before, [`${PREFIX}keys.jwe`]: "e30=", [`${PREFIX}pubopts`]: "e30=" },
  };
}

/** The decrypted form: without annotations if there are none. */
function decrypted(text: string) {
  const originals = layersOf(text).map(({ descriptor }) => descriptor);
  return (_: LocatedDescriptor, i: number): Descriptor => {
    const { annotations: before, ...rest } = originals[i]!;
    return Object.keys(before ?? {}).length === 0 ? rest : { ...rest, annotations: before! };
  };
}

describe("descriptorEdits", () => {
  it("writes the new descriptors, and restores the same text", () => {
    fc.assert(
      fc.property(manifest, spaces, (members, gaps) => {
        const text = write(objectOf(members), gaps);
        const there = rewrite(text, encrypted);
        expect(layersOf(there).map(({ descriptor }) => descriptor)).toEqual(
          layersOf(text).map(encrypted),
        );
        expect(without(JSON.parse(there) as object, ["layers"])).toEqual(
          without(JSON.parse(text) as object, ["layers"]),
        );
        expect(rewrite(there, decrypted(text))).toBe(text);
      }),
      { numRuns: 100 },
    );
  });

  const digest = digestOf("");
  const frame = (layer: string): string =>
    `{"config":{"mediaType":"${CONFIG}","digest":"${digest}","size":2},"layers":[${layer}]}`;
  const base = `"mediaType":"${TAR}","digest":"${digest}","size":0`;

  it.each([
    ["data behind", `{${base},"data":"AA=="}`, `{${base}}`],
    ["data before", `{"data":"AA==",${base}}`, `{${base}}`],
    ["data and urls behind", `{${base} , "data" : "" , "urls":[ ]}`, `{${base}}`],
    ["data and urls around", `{ "urls":[],${base},"data":""}`, `{ ${base}}`],
    ["both before", `{"urls":[], "data":"" ,\n${base}}`, `{${base}}`],
    ["annotations between", `{"data":"","annotations":{"a":"b"},${base}}`, `{"annotations":{"a":"b"},${base}}`], // prettier-ignore
  ])("removes the old content: %s", (_, before, after) => {
    const there = rewrite(frame(before), (layer) => {
      return without(encrypted(layer), ["data", "urls"]) as unknown as Descriptor;
    });
    expect(there).not.toMatch(/"(data|urls)"/);
    expect(rewrite(there, decrypted(frame(after)))).toBe(frame(after));
  });

  // Encryption annotations that a peer put before, between and behind others.
  it.each([
    [`{"${PREFIX}a":"1","x":"2"}`, `{"x":"2"}`],
    [`{"x":"2", "${PREFIX}a":"1"}`, `{"x":"2"}`],
    [`{ "${PREFIX}a":"1", "x":"2" ,"${PREFIX}b":"3", "y":"4"\n}`, `{ "x":"2", "y":"4"\n}`],
    [`{"${PREFIX}a":"1","${PREFIX}b":"2","x":"3","${PREFIX}c":"4"}`, `{"x":"3"}`],
  ])("removes a peer's annotations from %s", (before, after) => {
    const text = frame(`{${base},"annotations":${before}}`);
    const expected = frame(`{${base},"annotations":${after}}`);
    expect(rewrite(text, decrypted(expected))).toBe(expected);
  });

  it.each([
    [`{${base},"annotations":{"${PREFIX}a":"1"}}`, `{${base}}`],
    [`{"annotations":\n{ "${PREFIX}a":"1" }, ${base}}`, `{${base}}`],
  ])("removes annotations that only a peer wrote: %s", (before, after) => {
    expect(rewrite(frame(before), decrypted(frame(after)))).toBe(frame(after));
  });

  it.each(["{ }", "{\n}", "{\t}", "{\t\t }"])("restores empty annotations: %j", (empty) => {
    const text = frame(`{${base},"annotations":${empty},"x":1}`);
    expect(rewrite(rewrite(text, encrypted), decrypted(text))).toBe(text);
  });
});
