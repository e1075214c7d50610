import { createCipheriv, createDecipheriv } from "node:crypto";
import { OcicryptError } from "../../errors.js";
import type { Key, Recipient } from "../../keywrap/types.js";
import { decodeBase64, encodeBase64 } from "../../spec/base64.js";
import { stringIn } from "../../text/json.js";
import {
  damaged,
  DATA_KEY_SIZE,
  type Envelope,
  envelopeKey,
  envelopeRecipient,
} from "../envelope.js";
import { invalidSettings } from "../settings.js";
import type { Barbican } from "./session.js";
import { describe, isId, SYSTEM, wrappedIn } from "./wrapped.js";

/** The initial value of RFC 3394, section 2.2.3.1. */
const DEFAULT_IV = /* @__PURE__ */ Buffer.alloc(8, 0xa6);

/** Creates a recipient for a secret that wraps. */
export function kekRecipientAt(
  server: Barbican,
  id: string,
  authUrl: string | undefined,
): Recipient {
  return envelopeRecipient({
    system: SYSTEM,
    thumbprint: JSON.stringify([server.endpoint, authUrl, id]),
    async wrapDataKey(dataKey, signal) {
      const { kek, secretRef } = await fetchKek(server, id, signal);
      try {
        const cipher = createCipheriv("id-aes256-wrap", kek, DEFAULT_IV);
        const wrapped = Buffer.concat([cipher.update(dataKey), cipher.final()]);
        return { secretRef, wrapped: encodeBase64(wrapped) };
      } finally {
        kek.fill(0);
      }
    },
  });
}

/** Creates a key that opens layers with the secrets of a server, or with these secrets only. */
export function keyAt(
  server: Barbican,
  label: string | undefined,
  secrets: readonly string[] | undefined,
): Key {
  return envelopeKey({
    system: SYSTEM,
    label: label ?? SYSTEM,
    mismatch: (envelope) => mismatch(envelope, secrets),
    async unwrapDataKey(envelope, signal) {
      const { id, wrapped } = wrappedIn(envelope);
      if (wrapped !== undefined) return unwrapWithKek(server, { id, wrapped }, signal);
      return (await server.payload(id, signal)).payload;
    },
    describe,
    async isCurrent(envelope, signal) {
      await server.metadata(wrappedIn(envelope).id, signal);
      return true;
    },
  });
}

/** https://docs.openstack.org/barbican/latest/api/reference/secret_types.html */
const FILES: readonly string[] = ["private", "public", "certificate"];

/**
 * Returns the content of a secret that is a private key, a public key or a certificate; `undefined`
 * for any other secret.
 */
export async function fileAt(
  server: Barbican,
  id: string,
  signal: AbortSignal | undefined,
): Promise<Uint8Array | undefined> {
  const type = stringIn(await server.metadata(id, signal), "secret_type");
  if (!FILES.includes(type ?? "")) return undefined;
  return (await server.payload(id, signal)).payload;
}

/** @throws {@link OcicryptError} `KEY_SERVER_CONFIG_INVALID` */
export function requireId(id: string): string {
  if (isId(id)) return id;
  throw invalidSettings("the id of the Barbican secret is not valid");
}

async function fetchKek(
  server: Barbican,
  id: string,
  signal: AbortSignal | undefined,
): Promise<{ kek: Uint8Array; secretRef: string }> {
  const { payload: kek, reference: secretRef } = await server.payload(id, signal);
  if (kek.byteLength === DATA_KEY_SIZE) return { kek, secretRef };
  kek.fill(0);
  throw new OcicryptError("KEY_UNSUPPORTED", `the secret ${id} of Barbican does not have 32 bytes`);
}

async function unwrapWithKek(
  server: Barbican,
  { id, wrapped }: { id: string; wrapped: string },
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const { kek } = await fetchKek(server, id, signal);
  const decipher = createDecipheriv("id-aes256-wrap", kek, DEFAULT_IV);
  try {
    const opened = decipher.update(decodeBase64(wrapped) ?? Buffer.alloc(0));
    return Buffer.concat([opened, decipher.final()]);
  } catch {
    throw damaged(SYSTEM, "this secret did not wrap it, or it was changed");
  } finally {
    kek.fill(0);
  }
}

function mismatch(envelope: Envelope, secrets: readonly string[] | undefined): string | undefined {
  const { id } = wrappedIn(envelope);
  if (secrets?.includes(id) !== false) return undefined;
  return `it is for the secret ${id} of Barbican, not ${secrets.join(" or ")}`;
}
