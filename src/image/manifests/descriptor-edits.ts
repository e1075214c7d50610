import { type Descriptor, ENCRYPTION_PREFIX } from "../../spec/descriptor.js";
import type { JsonNode } from "../../text/json.js";
import { insertMembers, member, removeMembers, type Edit } from "../../text/json-edits.js";
import type { LocatedDescriptor } from "../../spec/manifest.js";

/**
 * Added after the last member of an `annotations` object that was empty before encryption, so that
 * decryption restores the empty object and therefore the original digest.
 */
const WAS_EMPTY = "\t";

/** Added if `annotations` was null, which readers treat as absent. */
const WAS_NULL = "\r";

/** Returns the edits that replace a descriptor in a document. */
export function descriptorEdits(
  { descriptor, node }: LocatedDescriptor,
  after: Descriptor,
  text: string,
): Edit[] {
  const values = (["mediaType", "digest", "size"] as const).flatMap((name) => {
    const value = member(node, name);
    if (value === undefined || descriptor[name] === after[name]) return [];
    return [{ start: value.start, end: value.end, text: JSON.stringify(after[name]) }];
  });
  const gone = ["data", "urls"].filter((name) => name in descriptor && !(name in after));
  const annotations = member(node, "annotations");
  if (annotations !== undefined && isOnlyEncryption(annotations, after, text)) {
    gone.push("annotations");
  }
  return [
    ...values,
    ...removeMembers(node, (name) => gone.includes(name)),
    ...(gone.includes("annotations") ? [] : annotationEdits(node, after.annotations ?? {}, text)),
  ];
}

/** Whether an `annotations` object was created by encryption and is no longer needed. */
function isOnlyEncryption(annotations: JsonNode, after: Descriptor, text: string): boolean {
  const { members = [] } = annotations;
  return (
    after.annotations === undefined &&
    members.length > 0 &&
    members.every(({ name }) => name.startsWith(ENCRYPTION_PREFIX)) &&
    !hasMark(annotations, WAS_EMPTY, text) &&
    !hasMark(annotations, `${WAS_NULL}}`, text)
  );
}

function hasMark({ members = [] }: JsonNode, mark: string, text: string): boolean {
  const last = members.at(-1)?.value.end;
  return last !== undefined && text.startsWith(mark, last);
}

function isNull({ start, end }: JsonNode, text: string): boolean {
  return text.slice(start, end) === "null";
}

function annotationEdits(
  descriptor: JsonNode,
  after: Readonly<Record<string, string>>,
  text: string,
): Edit[] {
  const annotations = member(descriptor, "annotations");
  const present = new Set(annotations?.members?.map(({ name }) => name));
  const added = Object.entries(after).filter(([name]) => !present.has(name));
  if (annotations === undefined) {
    return added.length === 0 ? [] : insertMembers(descriptor, [["annotations", after]]);
  }
  const { members = [], start, end } = annotations;
  if (annotations.members === undefined) {
    if (added.length === 0) return [];
    const object = JSON.stringify(Object.fromEntries(added));
    return [{ start, end, text: `${object.slice(0, -1)}${WAS_NULL}}` }];
  }
  if (members.length === 0) {
    return insertMembers(annotations, added).map((edit) => ({
      ...edit,
      text: edit.text + WAS_EMPTY,
    }));
  }
  // Null counts as absent, and is kept.
  const nulls = new Set(members.flatMap(({ name, value }) => (isNull(value, text) ? [name] : [])));
  const isGone = (name: string): boolean => !Object.hasOwn(after, name) && !nulls.has(name);
  if (members.every(({ name }) => isGone(name))) {
    const last = members.at(-1)?.value.end ?? start;
    if (added.length === 0 && hasMark(annotations, `${WAS_NULL}}`, text)) {
      return [{ start, end, text: "null" }];
    }
    return added.length === 0 && hasMark(annotations, WAS_EMPTY, text)
      ? [{ start: start + 1, end: last + WAS_EMPTY.length, text: "" }]
      : [{ start, end, text: JSON.stringify(after) }];
  }
  const changed = members.flatMap(({ name, value }) => {
    const replacement = after[name];
    if (replacement === undefined || replacement === JSON.parse(text.slice(value.start, value.end)))
      return [];
    return [{ start: value.start, end: value.end, text: JSON.stringify(replacement) }];
  });
  return [...removeMembers(annotations, isGone), ...changed, ...insertMembers(annotations, added)];
}
