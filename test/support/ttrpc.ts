/** A field of protobuf with up to 127 bytes, or with two bytes of length. */
export function field(number: number, content: Buffer | string): Buffer {
  const bytes = Buffer.from(content);
  const { length } = bytes;
  const size = length < 128 ? [length] : [(length % 128) + 128, Math.floor(length / 128)];
  return Buffer.concat([Buffer.from([number * 8 + 2, ...size]), bytes]);
}

/** A frame as PROTOCOL.md of containerd's ttrpc describes it. */
export function frame(stream: number, body: Buffer, type = 1): Buffer {
  const header = Buffer.alloc(10);
  header.writeUInt32BE(body.length, 0);
  header.writeUInt32BE(stream, 4);
  header[8] = type;
  return Buffer.concat([header, body]);
}

const TIMEOUT = Buffer.from([0x20, 0x80, 0xf0, 0xfa, 0xba, 0x01]);

/** The body of a request. */
export function call(
  method: string,
  message: Buffer,
  service = "keyprovider.KeyProviderService",
): Buffer {
  const fields = [field(1, service), field(2, method), field(3, field(1, message)), TIMEOUT];
  return Buffer.concat(fields);
}
