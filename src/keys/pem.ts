/** A file may have text that looks like the start of a block; many of those are no key file. */
const MAX_UNFINISHED = 100;

/** One block of a PEM file, with the text from its BEGIN to its END line. */
export interface PemBlock {
  label: string;
  text: string;
}

/**
 * The blocks of a PEM file; text around them is passed over, as RFC 7468 section 2 has it.
 */
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
export function isEncryptedBlock({ label, text }: PemBlock): boolean {
  return label === "ENCRYPTED PRIVATE KEY" || /^Proc-Type: *4, *ENCRYPTED/m.test(text);
}
