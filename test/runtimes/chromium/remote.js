import { decode, encode } from "./values.js";

/** The objects that stay in Node.js, by their numbers. */
const objects = new Map();
const numbers = new WeakMap();
/** The prototype of each of their classes. */
const kinds = new Map();

/** A function or a class of a module of Node.js; see node-modules.js. */
export function remote(module, name) {
  return function (...args) {
    return call({ module, name, isNew: new.target !== undefined }, args);
  };
}

/** As {@link remote}, for a hash: one request for all of it. */
export function remoteHash(name) {
  return (...args) => {
    const calls = [];
    return {
      update(...data) {
        calls.push(["update", data.map(encoded)]);
        return this;
      },
      digest(...encoding) {
        calls.push(["digest", encoding]);
        return call({ module: "node:crypto", name, calls }, args);
      },
    };
  };
}

function call(request, args) {
  const { isPromise, result, error } = send({ ...request, args: args.map(encoded) });
  if (error !== undefined) {
    const decoded = decode(error, objectOf);
    if (isPromise) return Promise.reject(decoded);
    throw decoded;
  }
  const value = decode(result, objectOf, args);
  return isPromise ? Promise.resolve(value) : value;
}

function send(body) {
  const request = new XMLHttpRequest();
  request.open("POST", "/@node", false);
  // The server puts it here.
  request.setRequestHeader("authorization", "TOKEN");
  request.send(JSON.stringify(body));
  return JSON.parse(request.responseText);
}

const encoded = (value) =>
  encode(value, (object) => {
    const number = numbers.get(object);
    if (number === undefined) throw new TypeError("an object of the browser stays there");
    return { number };
  });

function objectOf({ number, kind, tag }, members) {
  let object = objects.get(number);
  if (object === undefined) {
    object = Object.create(prototypeOf(kind));
    if (tag !== undefined) object[Symbol.toStringTag] = tag;
    objects.set(number, object);
    numbers.set(object, number);
  }
  return Object.assign(object, members);
}

function prototypeOf(kind) {
  let prototype = kinds.get(kind);
  if (prototype === undefined) {
    prototype = {};
    for (const name of send({ kind }).result) {
      prototype[name] = function (...args) {
        return call({ object: numbers.get(this), name }, args);
      };
    }
    kinds.set(kind, prototype);
  }
  return prototype;
}
