import { decodeBase64 } from "../../spec/base64.js";
import { pemBlocks } from "../../keys/pem.js";

/** One block of ASCII armour; RFC 9580 section 6. */
export interface ArmoredBlock {
  /** What stands after `BEGIN `, such as `PGP MESSAGE`. */
  label: string;
  /** `undefined` when the base64 is damaged. */
  bytes: Uint8Array | undefined;
}

/** Whether bytes are text: each packet starts with a byte above 127, and armour never does. */
export function isArmored(bytes: Uint8Array): boolean {
  return (bytes[0] ?? 0x80) < 0x80 || (bytes[0] === 0xef && bytes[1] === 0xbb);
}

/** All blocks of a text, one after another; what stands around them is passed over. */
export function readArmor(text: string): ArmoredBlock[] {
  return pemBlocks(text)
    .filter(({ label }) => label.startsWith("PGP "))
    .map((block) => ({ label: block.label, bytes: decodeBody(block.text) }));
}

function decodeBody(block: string): Uint8Array | undefined {
  const lines = block.split(/\r?\n/).map((line) => line.trim());
  const body: string[] = [];
  let isHeader = true;
  for (const line of lines.slice(1)) {
    if (line.startsWith("-----END ")) break;
    // Section 6.1 forbids to refuse armour because of its checksum.
    if (line.startsWith("=")) break;
    if (isHeader && line.includes(":")) continue;
    isHeader = false;
    body.push(line);
  }
  return decodeBase64(body.join("")) ?? undefined;
}
