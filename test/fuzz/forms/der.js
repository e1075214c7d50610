const TAGS = [0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0c, 0x13, 0x17, 0x30, 0x31, 0x80, 0xa0, 0xa3];

/** Changes an ASN.1 encoding element by element; `undefined` for what is not one. */
export function mutateDer(bytes, { random, inputs }) {
  const elements = parse(bytes, 0);
  if (elements === undefined) return undefined;
  const places = [];
  collect(elements, places);
  const { list, i } = random.pick(places);
  const element = list[i];
  switch (random.below(9)) {
    case 0:
      list.splice(i, 1);
      break;
    case 1:
      list.splice(i, 0, ...Array(1 + random.below(random.chance(0.1) ? 500 : 3)).fill(element));
      break;
    case 2:
      element.tag = random.pick(TAGS);
      break;
    case 3:
      element.length = random.pick(["indefinite", "long", 0, 1, 0x7f, 0xffff, 0x7fffffff]);
      break;
    case 4: {
      const other = random.pick(places);
      list[i] = structuredClone(other.list[other.i]);
      break;
    }
    case 5: {
      const donor = parse(random.pick(inputs), 0);
      if (donor !== undefined) list[i] = random.pick(donor);
      break;
    }
    case 6: {
      const depth = random.chance(0.1) ? 5000 : 1 + random.below(40);
      let wrapped = print(element);
      for (let level = 0; level < depth && wrapped.length < 65_000; level++) {
        wrapped = print({ tag: 0x30, content: wrapped });
      }
      list[i] = { raw: wrapped };
      break;
    }
    default:
      changeContent(element, random);
  }
  return Buffer.concat(elements.map(print));
}

function changeContent(element, random) {
  if (element.content === undefined) {
    element.children?.reverse();
    return;
  }
  const content = Buffer.from(element.content);
  const numbers = [[], [0], [1], [0x7f], [0x80], [0xff], [0, 0x80, 0, 0, 0], Array(300).fill(0x81)];
  if (content.length === 0 || random.chance(0.3))
    element.content = Buffer.from(random.pick(numbers));
  else {
    content[random.below(content.length)] ^= 1 << random.below(8);
    element.content = random.chance(0.8) ? content : content.subarray(1);
  }
}

function parse(bytes, depth) {
  const elements = [];
  for (let start = 0; start < bytes.length;) {
    const tag = bytes[start];
    const header = readLength(bytes, start + 1);
    if (header === undefined || depth > 60) return undefined;
    const end = header.start + header.length;
    if (end > bytes.length) return undefined;
    const content = bytes.subarray(header.start, end);
    // Octet strings of CMS and PKCS#12 hold further encodings.
    const mayHold = (tag & 0x20) !== 0 || tag === 0x04;
    const children = mayHold && content.length > 1 ? parse(content, depth + 1) : undefined;
    elements.push(children === undefined ? { tag, content } : { tag, children });
    start = end;
  }
  return elements.length === 0 ? undefined : elements;
}

function readLength(bytes, at) {
  const first = bytes[at];
  if (first === undefined || first === 0x80) return undefined;
  if (first < 0x80) return { start: at + 1, length: first };
  const count = first & 0x7f;
  if (count > 4 || at + 1 + count > bytes.length) return undefined;
  return { start: at + 1 + count, length: bytes.readUIntBE(at + 1, count) };
}

function collect(list, places) {
  for (const [i, element] of list.entries()) {
    places.push({ list, i });
    if (element.children !== undefined) collect(element.children, places);
  }
}

function print({ tag, content, children, length, raw }) {
  if (raw !== undefined) return raw;
  const body = content ?? Buffer.concat(children.map(print));
  if (length === "indefinite") {
    return Buffer.concat([Buffer.of(tag, 0x80), body, Buffer.of(0, 0)]);
  }
  return Buffer.concat([Buffer.of(tag), printLength(length ?? body.length), body]);
}

function printLength(length) {
  if (length === "long") return Buffer.of(0x84, 0, 0, 0, 5);
  if (length < 0x80) return Buffer.of(length);
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(length);
  const digits = bytes.subarray(bytes.findIndex((byte) => byte !== 0));
  return Buffer.concat([Buffer.of(0x80 | digits.length), digits]);
}
