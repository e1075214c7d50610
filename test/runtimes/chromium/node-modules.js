import { randomUUID } from "node:crypto";
import { EventEmitter } from "node:events";
import { isBuiltin } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import { decode, encode } from "./values.js";

const PREFIX = "\0node-modules:";
const CLIENT = fileURLToPath(new URL("remote.js", import.meta.url));

/** The functions that the browser has itself, and hashes, by module and name. */
const LOCAL = {
  "node:crypto": {
    webcrypto: "globalThis.crypto",
    createHash: 'remoteHash("createHash")',
    createHmac: 'remoteHash("createHmac")',
  },
  "node:timers/promises": {
    setTimeout: "(delay, value) => new Promise((resolve) => setTimeout(resolve, delay, value))",
    setImmediate: "(value) => new Promise((resolve) => setImmediate(resolve, value))",
  },
};

/**
 * Gives tests in a browser the modules of Node.js: each call is a synchronous request to this process.
 * So fixtures, temporary files and expected values come from Node.js, and the code under test has only
 * what the browser has.
 *
 * @returns {import("vite").Plugin}
 */
export function nodeModules() {
  // Anyone who can send such requests can run programs in this process.
  const token = randomUUID();
  return {
    name: "node-modules",
    enforce: "pre",
    resolveId(id) {
      // A module of the browser saves thousands of requests.
      if (id === "node:path") return this.resolve("pathe");
      return id.startsWith("node:") ? PREFIX + id : undefined;
    },
    load(id) {
      return id.startsWith(PREFIX) ? codeOf(id.slice(PREFIX.length)) : undefined;
    },
    transform(code, id) {
      const [file] = id.split("?");
      if (file === CLIENT) return code.replace("TOKEN", token);
      if (!file.includes("/test/") || file.includes("/node_modules/")) return undefined;
      return code.replaceAll("import.meta.url", JSON.stringify(pathToFileURL(file).href));
    },
    configureServer(server) {
      server.middlewares.use("/@node", (request, response) => {
        if (request.headers.authorization === token)
          void answer(request).then((text) => response.end(text));
        else response.writeHead(403).end();
      });
    },
  };
}

async function codeOf(id) {
  const all = await load(id);
  const names = Object.keys(all).filter((name) => name !== "default");
  const values = names.map((name) => LOCAL[id]?.[name] ?? valueOf(id, name, all[name]));
  return [
    `import { remote, remoteHash } from ${JSON.stringify(CLIENT)};`,
    ...names.map((name, i) => `const $${name} = ${values[i]};`),
    `export { ${names.map((name) => `$${name} as ${name}`).join(", ")} };`,
  ].join("\n");
}

async function load(id) {
  if (!id.startsWith("node:") || !isBuiltin(id)) throw new Error(`${id} is no module of Node.js`);
  return import(id);
}

function valueOf(id, name, value) {
  if (typeof value === "function") return `remote(${JSON.stringify(id)}, ${JSON.stringify(name)})`;
  try {
    return JSON.stringify(value) ?? "undefined";
  } catch {
    // It has circles.
    return "undefined";
  }
}

/** The objects that the browser knows, by their numbers. */
const objects = [];
const numbers = new WeakMap();
/** The names of the methods of each of their classes. */
const kinds = new Map();

async function answer(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const {
    module,
    object,
    name,
    isNew,
    calls = [],
    kind,
    ...rest
  } = JSON.parse(Buffer.concat(chunks).toString());
  if (kind !== undefined) return JSON.stringify({ result: kinds.get(kind) });
  const find = ({ number }) => objects[number];
  const args = decode(rest.args, find);
  let isPromise = false;
  try {
    const target = module === undefined ? objects[object] : await load(module);
    let result = isNew ? new target[name](...args) : target[name](...args);
    for (const [method, values] of calls) result = result[method](...decode(values, find));
    isPromise = result instanceof Promise;
    return JSON.stringify({ isPromise, result: encode(await result, describe, args) });
  } catch (error) {
    return JSON.stringify({ isPromise, error: encode(error, describe) });
  }
}

/** Returns the description of an object that stays in this process. */
function describe(value) {
  let number = numbers.get(value);
  if (number === undefined) {
    number = objects.push(value) - 1;
    numbers.set(value, number);
  }
  const kind = value.constructor.name;
  const all = namesOf(value).map((name) => [name, memberOf(value, name)]);
  const isMethod = ([, member]) => typeof member === "function";
  kinds.set(
    kind,
    all.filter(isMethod).map(([name]) => name),
  );
  const isStream = value instanceof EventEmitter;
  const members = isStream ? {} : Object.fromEntries(all.filter((each) => !isMethod(each)));
  return { number, kind, tag: value[Symbol.toStringTag], members };
}

function namesOf(value) {
  const names = [];
  for (let at = value; at !== Object.prototype && at !== null; at = Object.getPrototypeOf(at))
    names.push(...Object.getOwnPropertyNames(at));
  // jose asks for a `CryptoKey`, which would be one of Node.js.
  return names.filter((name) => !/^(?:_|constructor$|toCryptoKey$)/.test(name));
}

function memberOf(value, name) {
  try {
    return value[name];
  } catch {
    // A getter for other objects of the class.
    return undefined;
  }
}
