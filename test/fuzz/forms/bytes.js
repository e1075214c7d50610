const NUMBERS = [0, 1, 7, 8, 0x0a, 0x1f, 0x20, 0x2c, 0x30, 0x5c, 0x7f, 0x80, 0x81, 0x84, 0xff];

const OPERATIONS = [
  function flipBit(bytes, { random }) {
    const copy = Buffer.from(bytes);
    copy[random.below(copy.length)] ^= 1 << random.below(8);
    return copy;
  },
  function setByte(bytes, { random }) {
    const copy = Buffer.from(bytes);
    copy[random.below(copy.length)] = random.chance(0.5) ? random.pick(NUMBERS) : random.below(256);
    return copy;
  },
  function setWord(bytes, { random }) {
    const copy = Buffer.from(bytes);
    const value = random.pick([0, 1, 0x7fffffff, 0x80000000, 0xffffffff, copy.length]);
    if (copy.length >= 4) copy.writeUInt32BE(value, random.below(copy.length - 3));
    return copy;
  },
  function remove(bytes, { random }) {
    const [start, end] = range(bytes, random);
    return Buffer.concat([bytes.subarray(0, start), bytes.subarray(end)]);
  },
  function truncate(bytes, { random }) {
    return bytes.subarray(0, random.below(bytes.length));
  },
  function repeat(bytes, { random }) {
    const [start, end] = range(bytes, random);
    const part = bytes.subarray(start, end);
    const copies = Array(1 + random.below(random.chance(0.1) ? 200 : 3)).fill(part);
    return Buffer.concat([bytes.subarray(0, start), ...copies, bytes.subarray(start)]);
  },
  function insertWord(bytes, { random, dictionary }) {
    const word = dictionary.length > 0 ? Buffer.from(random.pick(dictionary)) : Buffer.alloc(3);
    const at = random.below(bytes.length + 1);
    const end = random.chance(0.5) ? at : Math.min(bytes.length, at + word.length);
    return Buffer.concat([bytes.subarray(0, at), word, bytes.subarray(end)]);
  },
  function splice(bytes, { random, inputs }) {
    const other = random.pick(inputs);
    if (other.length === 0) return bytes;
    const [start, end] = range(other, random);
    const at = random.below(bytes.length + 1);
    const rest = random.chance(0.5) ? at : Math.min(bytes.length, at + end - start);
    return Buffer.concat([bytes.subarray(0, at), other.subarray(start, end), bytes.subarray(rest)]);
  },
];

/** Changes any input in one place. */
export function mutateBytes(bytes, context) {
  if (bytes.length === 0) return Buffer.from([context.random.below(256)]);
  return context.random.pick(OPERATIONS)(bytes, context);
}

function range(bytes, random) {
  const start = random.below(bytes.length);
  const longest = random.chance(0.7) ? 8 : bytes.length;
  return [start, Math.min(bytes.length, start + 1 + random.below(longest))];
}
