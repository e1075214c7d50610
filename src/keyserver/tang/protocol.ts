import { isOcicryptError } from "../../errors.js";
import {
  invalidAnswer,
  jsonAnswer,
  type KeyServerClient,
  type KeyServerRequest,
  type Refusal,
} from "../client.js";
import {
  type Advertisement,
  isSignedByOld,
  readAdvertisement,
  untrusted,
} from "./advertisement.js";
import { type PublicJwk, readPublicJwk } from "./points.js";

/** A server that is contacted for one wrapped key. */
export interface Contact {
  client: KeyServerClient;
  /** The URL at which the server is contacted. */
  address: string;
  signal?: AbortSignal | undefined;
}

/**
 * Fetches and verifies the keys that a server advertises.
 *
 * @throws {@link OcicryptError} as `KeyServerClient.request`, `KEY_SERVER_ANSWER_INVALID`
 */
export async function fetchAdvertisement(contact: Contact): Promise<Advertisement> {
  const request = getRequest(contact, "adv");
  const { bytes } = await contact.client.request(request);
  return readAdvertisement(bytes, (why) => invalidAnswer(request, why));
}

/**
 * Fetches the keys that a server advertises, signed by a key that it may no longer advertise.
 *
 * @returns `undefined` if the server no longer has that key
 * @throws {@link OcicryptError} as {@link fetchAdvertisement}; `KEY_SERVER_UNTRUSTED` if the key did
 *   not sign
 */
export async function fetchSignedBy(
  contact: Contact,
  signer: { key: PublicJwk; thumbprint: string },
): Promise<Advertisement | undefined> {
  const request = getRequest(contact, `adv/${signer.thumbprint}`);
  const refuse = (why: string): Error => invalidAnswer(request, why);
  let bytes: Uint8Array;
  try {
    ({ bytes } = await contact.client.request(request));
  } catch (error) {
    if (isOcicryptError(error, "KEY_SERVER_KEY_NOT_FOUND")) return undefined;
    throw error;
  }
  const advertised = await readAdvertisement(bytes, refuse);
  if (await isSignedByOld(bytes, signer.key, refuse)) return advertised;
  throw untrusted(contact.address, signer.thumbprint);
}

/**
 * Asks a server to multiply a point by its private key.
 *
 * @param kid the thumbprint of the exchange key
 * @throws {@link OcicryptError} as `KeyServerClient.request`; `KEY_SERVER_KEY_NOT_FOUND` if the
 *   server no longer has the key
 */
export async function recover(
  contact: Contact,
  kid: string,
  point: PublicJwk,
): Promise<{ point: PublicJwk; refuse: (why: string) => Error }> {
  const request: KeyServerRequest = {
    method: "POST",
    url: new URL(`${contact.address}/rec/${encodeURIComponent(kid)}`),
    headers: { "content-type": "application/jwk+json" },
    body: Buffer.from(JSON.stringify({ alg: "ECMR", ...point }), "utf8"),
    isRepeatable: true,
    signal: contact.signal,
    refusal,
  };
  const refuse = (why: string): Error => invalidAnswer(request, why);
  const answer = jsonAnswer(request, await contact.client.request(request));
  return { point: readPublicJwk(answer, refuse), refuse };
}

/** tangd answers with an empty body, so only the status tells the reason. */
function refusal({ status }: { status: number }): Refusal | undefined {
  if (status === 404) {
    return { code: "KEY_SERVER_KEY_NOT_FOUND", why: "the server no longer has the exchange key" };
  }
  if (status === 400 || status === 403) {
    return { code: "WRAPPED_KEY_INVALID", why: "the server cannot use its key for this point" };
  }
  return undefined;
}

function getRequest({ address, signal }: Contact, path: string): KeyServerRequest {
  return { method: "GET", url: new URL(`${address}/${path}`), signal };
}
