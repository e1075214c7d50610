/** A password as each of the ways to derive a key from it takes it. */
export interface PasswordForms {
  /** UTF-16 with the most significant octet first and a NULL at the end: RFC 7292 appendix B.1. */
  bmpString: Buffer;
  /** For PBKDF2: RFC 8018 section 5.2, which leaves the encoding open, and RFC 9579 section 5. */
  utf8: Buffer;
}

/**
 * The forms in which a password may have been used. Of the empty one there are two, as for
 * RFC 7292 it is a NULL and for many a writer nothing at all: which one it is, the MAC tells.
 */
export function passwordForms(password: string | Uint8Array): PasswordForms[] {
  const utf8 = Buffer.from(password);
  const text = typeof password === "string" ? password : utf8.toString("utf8");
  const forms = [{ bmpString: Buffer.from(`${text}\0`, "utf16le").swap16(), utf8 }];
  return text === "" ? [...forms, { bmpString: Buffer.alloc(0), utf8 }] : forms;
}

export function wipeForms(forms: readonly PasswordForms[]): void {
  for (const { bmpString, utf8 } of forms) {
    bmpString.fill(0);
    utf8.fill(0);
  }
}
