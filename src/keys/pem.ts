import { fromBase64 } from "#engine/bytes";
import type { Bytes, LegacyPem } from "../engine/types.js";
import { unrecognizedKey } from "../errors.js";
import { claimedSize } from "./der.js";

/** After this many BEGIN lines without an end, the rest of a file is skipped. */
const MAX_UNFINISHED = 100;

/** One block of a PEM file, with the text from its BEGIN line to its END line. */
export interface PemBlock {
  label: string;
  text: string;
}

/** Returns the blocks of a PEM file; text around them is skipped, as RFC 7468 section 2 says. */
export function pemBlocks(text: string): PemBlock[] {
  const blocks: PemBlock[] = [];
  let position = 0;
  let unfinished = 0;
  for (;;) {
    const begin = text.indexOf("-----BEGIN ", position);
    if (begin < 0) return blocks;
    const labelEnd = text.indexOf("-----", begin + 11);
    if (labelEnd < 0) return blocks;
    const label = text.slice(begin + 11, labelEnd);
    const endLine = `-----END ${label}-----`;
    const end = text.indexOf(endLine, labelEnd);
    if (end < 0) {
      if (++unfinished > MAX_UNFINISHED) return blocks;
      position = labelEnd;
      continue;
    }
    position = end + endLine.length;
    blocks.push({ label, text: text.slice(begin, position) + "\n" });
  }
}

/** Whether a private key's block needs a password: PKCS#8, or the older RFC 1421 headers. */
export function isEncryptedBlock(block: PemBlock): boolean {
  return block.label === "ENCRYPTED PRIVATE KEY" || dekInfo(block) !== undefined;
}

/**
 * Returns the bytes of a block. Line ends may be missing, doubled or replaced by blanks, and lines
 * may be indented, because base64 does not depend on them.
 *
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`, with a message that says why
 */
export function decodeBlock(block: PemBlock): Bytes {
  const body = bodyOf(block)
    .replace(/^\s*(?:[A-Za-z-]+:.*\s)+/, "")
    .replace(/\s+/g, "");
  const where = `its PEM block "${block.label.slice(0, 40)}"`;
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(body)) {
    throw unrecognizedKey(`${where} holds characters that are not base64`);
  }
  const bytes = fromBase64(body);
  if (body.replace(/=+$/, "").length % 4 === 1) {
    throw unrecognizedKey(`${where} has lost a part of its base64`);
  }
  const size = claimedSize(bytes);
  if (size !== undefined && size > bytes.byteLength) {
    const counts = `${String(bytes.byteLength)} of ${String(size)} bytes`;
    throw unrecognizedKey(`${where} is cut off: it has ${counts}`);
  }
  return bytes;
}

/** Returns the headers of a block that is encrypted as in RFC 1421, also without line ends. */
export function dekInfo(block: PemBlock): LegacyPem | undefined {
  const match =
    /^\s*Proc-Type: *4, *ENCRYPTED\s*(?:DEK-Info: *([A-Z0-9-]{1,40}),((?:[0-9A-Fa-f]{16}){1,2}))?/.exec(
      bodyOf(block),
    );
  if (match === null) return undefined;
  const [headers, cipher = "", iv = ""] = match;
  // An IV is as long as its cipher's block: 16 bytes for these, and 8 for DES and its contemporaries.
  const size = /^(?:AES|ARIA|CAMELLIA|SEED|SM4)-/.test(cipher) ? 32 : 16;
  const rest = iv.slice(size) + bodyOf(block).slice(headers.length);
  const lines = rest.replace(/\s+/g, "").replace(/.{1,64}/g, "$&\n");
  const dek = `Proc-Type: 4,ENCRYPTED\nDEK-Info: ${cipher},${iv.slice(0, size)}`;
  const { label } = block;
  return { cipher, pem: `-----BEGIN ${label}-----\n${dek}\n\n${lines}-----END ${label}-----\n` };
}

/** Returns the text between the BEGIN and END lines. */
export function bodyOf({ label, text }: PemBlock): string {
  return text.slice(`-----BEGIN ${label}-----`.length, text.lastIndexOf("-----END "));
}
