/**
 * Values as JSON, for the requests between a test in a browser and Node.js. An object with the member
 * `$` is a value that JSON lacks.
 *
 * @param {(value: object) => object} describe returns the members that describe an object, which is
 *   not copied
 * @param {unknown[]} [args] the arguments of a call, which may be buffers that the call has filled
 */
export function encode(value, describe, args = []) {
  if (value === undefined) return { $: "undefined" };
  if (typeof value === "bigint") return { $: "bigint", value: String(value) };
  if (typeof value === "number" && !Number.isFinite(value))
    return { $: "number", value: String(value) };
  if (typeof value === "function") throw new TypeError("a function stays where it is");
  if (value === null || typeof value !== "object") return value;
  const members = (from) =>
    Object.fromEntries(
      Object.entries(from)
        .filter(([, member]) => typeof member !== "function")
        .map(([key, member]) => [key, encode(member, describe, args)]),
    );
  if (Array.isArray(value)) return value.map((each) => encode(each, describe, args));
  if (value instanceof Date) return { $: "date", value: value.getTime() };
  if (value instanceof URL) return { $: "url", value: value.href };
  if (value instanceof Error) {
    const { name, message, stack } = value;
    return { $: "error", name, message, stack, members: members(value) };
  }
  if (value instanceof ArrayBuffer) return encode(new Uint8Array(value), describe);
  if (value instanceof Uint8Array) {
    const { buffer, byteOffset, byteLength } = value;
    const base64 = value.toBase64?.() ?? Buffer.from(buffer, byteOffset, byteLength).toString("base64"); // prettier-ignore
    return { $: "bytes", base64, argument: args.indexOf(value) };
  }
  if ([Object.prototype, null].includes(Object.getPrototypeOf(value))) return members(value);
  const described = describe(value);
  return { $: "object", ...described, members: members(described.members ?? {}) };
}

/**
 * @param {(described: object, members: object) => unknown} find returns the object that is described
 * @param {unknown[]} [args] as for {@link encode}
 */
export function decode(value, find, args = []) {
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map((each) => decode(each, find, args));
  const members = (from) =>
    Object.fromEntries(
      Object.entries(from).map(([key, member]) => [key, decode(member, find, args)]),
    );
  switch (value.$) {
    case undefined:
      return members(value);
    case "undefined":
      return undefined;
    case "bigint":
      return BigInt(value.value);
    case "number":
      return Number(value.value);
    case "date":
      return new Date(value.value);
    case "url":
      return new URL(value.value);
    case "bytes": {
      const bytes = Buffer.from(value.base64, "base64");
      const filled = args[value.argument];
      filled?.set(bytes);
      return filled ?? bytes;
    }
    case "error": {
      const { name, message, stack } = value;
      const isKnown = /^(?:Range|Syntax|Type)?Error$/.test(name);
      const error = new (isKnown ? globalThis[name] : Error)(message);
      return Object.assign(error, { name, stack }, members(value.members));
    }
    default:
      return find(value, members(value.members));
  }
}
