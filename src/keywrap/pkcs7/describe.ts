import type { RecipientInfo } from "../types.js";
import { keyTransportName } from "./key-transport.js";
import { parseCms } from "./message.js";
import { formatRecipientId } from "./recipient-id.js";

/** The recipients of a CMS message: how the key is encrypted, and the certificate of each. */
export function describe(wrapped: Uint8Array): RecipientInfo[] {
  return parseCms(wrapped).recipients.map((recipient) =>
    "otherKind" in recipient
      ? { algorithm: recipient.otherKind }
      : {
          algorithm: keyTransportName(recipient.algorithm),
          keyId: formatRecipientId(recipient.id),
        },
  );
}
