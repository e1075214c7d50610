/**
 * JSON as a tree of its own, since objects of JavaScript cannot hold a name twice and would lose
 * how a number or a string is written.
 */

const LITERALS = [
  ...["null", "true", "false", "{}", "[]", '""', "0", "-0", "-1", "1", "1e3", "1.0", "1E400"],
  ...["9007199254740993", "18446744073709551616", "0.1", "-9223372036854775808"],
  ...['"\\u0000"', '"\\ud800"', '"\\u017f"', '"AA=="', '"AB=="', '"\\uFEFF"', '"\\/"'],
];
/** The most characters that repeating adds: inputs are cut, and this process has little memory. */
const MAX_REPEATED = 500_000;
const NAMES = ["__proto__", "constructor", "toString", "length", "then", "", "ſ", "K", "\ufeff"];

/** Changes JSON in its structure; `undefined` for what is not JSON. */
export function mutateJson(bytes, context) {
  const tree = parse(bytes.toString());
  if (tree === undefined) return undefined;
  const { random } = context;
  const places = [];
  collect(tree, places);
  const place = random.pick(places);
  change(place, tree, places, context);
  return Buffer.from(print(tree));
}

function parse(text) {
  try {
    return toTree(JSON.parse(text));
  } catch {
    return undefined;
  }
}

function toTree(value) {
  if (Array.isArray(value)) return { items: value.map(toTree) };
  if (typeof value !== "object" || value === null) return { literal: JSON.stringify(value) };
  const members = Object.entries(value);
  return { members: members.map(([name, member]) => [JSON.stringify(name), toTree(member)]) };
}

function print({ members, items, literal }) {
  if (literal !== undefined) return literal;
  if (items !== undefined) return `[${items.map(print).join(",")}]`;
  return `{${members.map(([name, member]) => `${name}:${print(member)}`).join(",")}}`;
}

function collect(node, places) {
  places.push(node);
  for (const item of node.items ?? []) collect(item, places);
  for (const [, member] of node.members ?? []) collect(member, places);
}

function change(node, root, places, { random, dictionary }) {
  const kind = random.below(10);
  if (kind === 0) return replace(node, { literal: random.pick(LITERALS) });
  if (kind === 1) return replace(node, structuredClone(random.pick(places)));
  if (kind === 2) return nest(node, random);
  if (node.members !== undefined) return changeMembers(node.members, places, random);
  if (node.items !== undefined) return changeItems(node.items, random);
  return changeLiteral(node, random, dictionary);
}

function replace(node, other) {
  for (const name of ["members", "items", "literal"]) delete node[name];
  Object.assign(node, other);
}

function nest(node, random) {
  const depth = random.chance(0.1) ? 20_000 : 1 + random.below(20);
  const inner = print(node);
  const [open, close] = random.chance(0.5) ? ["[", "]"] : ['{"a":', "}"];
  replace(node, { literal: `${open.repeat(depth)}${inner}${close.repeat(depth)}` });
}

function changeMembers(members, places, random) {
  const kind = random.below(5);
  if (members.length === 0 || kind === 0) {
    members.push([JSON.stringify(random.pick(NAMES)), structuredClone(random.pick(places))]);
    return;
  }
  const i = random.below(members.length);
  const [name, value] = members[i];
  if (kind === 1) members.splice(i, 1);
  else if (kind === 2) members.push([name, structuredClone(random.pick(places))]);
  else if (kind === 3) members[i] = [rewriteName(name, random), value];
  else members.splice(random.below(members.length + 1), 0, [rewriteName(name, random), value]);
}

function rewriteName(name, random) {
  switch (random.below(5)) {
    case 0:
      return name.toUpperCase();
    case 1:
      return name.replace("s", "ſ");
    case 2:
      return name.replace("k", "\u212a");
    case 3:
      return name.replace(/[a-z]/, (letter) => `\\u00${letter.charCodeAt(0).toString(16)}`);
    default:
      return name.replace(/^"./, (start) => start.toUpperCase());
  }
}

function changeItems(items, random) {
  if (items.length === 0) {
    items.push({ literal: random.pick(LITERALS) });
    return;
  }
  const i = random.below(items.length);
  const copies = random.chance(0.1) ? 2000 : 1 + random.below(4);
  if (random.chance(0.4)) items.splice(i, 1);
  else {
    const length = atMost(copies, print(items[i]).length);
    items.push(...Array.from({ length }, () => structuredClone(items[i])));
  }
}

/** How often something of a length is repeated. */
function atMost(count, length) {
  return Math.min(count, 1 + Math.floor(MAX_REPEATED / (length + 1)));
}

function changeLiteral(node, random, dictionary) {
  const text = /^"([^]*)"$/.exec(node.literal)?.[1];
  if (text === undefined) {
    node.literal = random.pick(LITERALS);
    return;
  }
  const at = random.below(text.length + 1);
  switch (random.below(5)) {
    case 0:
      node.literal = `"${text.slice(0, at)}"`;
      break;
    case 1:
      node.literal = `"${text.slice(0, at)}${random.pick(["A", "=", " ", ",", "é", "\\u0000"])}${text.slice(at)}"`;
      break;
    case 2:
      node.literal = `"${text.repeat(atMost(1 + random.below(random.chance(0.05) ? 5000 : 4), text.length))}"`;
      break;
    case 3:
      node.literal = JSON.stringify(dictionary.length > 0 ? random.pick(dictionary) : "");
      break;
    default:
      node.literal = mutateBase64(text, random);
  }
}

/** Base64 keeps its form while the bytes in it change. */
function mutateBase64(text, random) {
  const bytes = Buffer.from(text, "base64");
  if (bytes.length > 0) bytes[random.below(bytes.length)] ^= 1 << random.below(8);
  return JSON.stringify(bytes.toString(text.includes("-") ? "base64url" : "base64"));
}
