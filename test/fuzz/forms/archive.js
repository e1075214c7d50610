const BLOCK = 512;
const TYPES = ["0", "\0", "1", "2", "5", "x", "g", "L", "K", "S", "V", "7"];
const SIZES = ["00000000000", "77777777777", "00000000777", "0000000001 ", "-0000000001", "9"];
const NAMES = ["index.json", "oci-layout", "../x", "/etc/passwd", "blobs/sha256/", "./index.json"];

/** Changes a tar archive entry by entry, with checksums that fit again. */
export function mutateArchive(bytes, { random }) {
  const count = Math.floor(bytes.length / BLOCK);
  if (count < 2) return undefined;
  const copy = Buffer.from(bytes);
  const headers = Array.from({ length: count }, (_, i) => i * BLOCK).filter((at) =>
    copy.subarray(at + 257, at + 262).equals(Buffer.from("ustar")),
  );
  if (headers.length === 0) return undefined;
  const at = random.pick(headers);
  const header = copy.subarray(at, at + BLOCK);
  switch (random.below(7)) {
    case 0:
      header.write(random.pick(TYPES), 156, "latin1");
      break;
    case 1:
      header.write(random.pick(SIZES), 124, "latin1");
      break;
    case 2:
      header.set([0x80, ...Array(11).fill(random.pick([0, 1, 0xff]))], 124);
      break;
    case 3:
      header.fill(0, 0, 100).write(random.pick(NAMES), 0, "latin1");
      break;
    case 4:
      header.write(
        random.pick(["ustar  \0", "ustar\x0000", "ustar\x0001", "USTAR\x0000"]),
        257,
        "latin1",
      );
      break;
    case 5: {
      const from = random.pick(headers);
      const end = Math.min(copy.length, from + BLOCK * (1 + random.below(6)));
      return Buffer.concat([copy.subarray(0, at), copy.subarray(from, end), copy.subarray(at)]);
    }
    default:
      return Buffer.concat([copy.subarray(0, at), copy.subarray(at + BLOCK)]);
  }
  const sum = header.reduce((total, byte, i) => total + (i >= 148 && i < 156 ? 0x20 : byte), 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return copy;
}
