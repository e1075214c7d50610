/** An entry of a tar archive, with every field as it is to be written. */
export interface Member {
  name: string;
  /** `0` by default: a file. */
  type?: string;
  /** In place of the size of the content. */
  size?: string | Uint8Array;
  magic?: string;
  prefix?: string;
  /** Of a link. */
  target?: string;
  /** In place of the right one. */
  checksum?: string;
}

/** The two empty blocks. */
export const endOfArchive: Buffer = Buffer.alloc(1024);

/** A header block, https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html. */
export function tarHeader(
  { name, type = "0", size, magic = "ustar\x0000", prefix = "", target = "", checksum }: Member,
  length = 0,
): Buffer {
  const block = Buffer.alloc(512);
  const octal = (value: number, digits: number): string =>
    `${value.toString(8).padStart(digits, "0")}\0`;
  block.write(name, 0, 100, "utf8");
  block.write(octal(0o644, 7), 100);
  block.write(octal(0, 7), 108);
  block.write(octal(0, 7), 116);
  block.set(Buffer.from(size ?? octal(length, 11)), 124);
  block.write(octal(0, 11), 136);
  block.write(" ".repeat(8), 148);
  block.write(type, 156, "latin1");
  block.write(target, 157, 100, "utf8");
  block.write(magic, 257, "latin1");
  block.write(prefix, 345, 155, "utf8");
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(checksum ?? `${octal(sum, 6)} `, 148);
  return block;
}

/** A header with its content and padding. */
export function member(fields: Member, content: string | Uint8Array = ""): Buffer {
  const bytes = Buffer.from(content);
  const padding = Buffer.alloc((512 - (bytes.byteLength % 512)) % 512);
  return Buffer.concat([tarHeader(fields, bytes.byteLength), bytes, padding]);
}

/** A record of a pax header: the length counts itself. */
export function paxRecord(key: string, value: string): string {
  const rest = Buffer.byteLength(` ${key}=${value}\n`);
  let length = rest + 1;
  while (rest + String(length).length !== length) length++;
  return `${String(length)} ${key}=${value}\n`;
}
