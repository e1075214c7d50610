import { createPublicKey } from "node:crypto";
import { OcicryptError, shown } from "../../errors.js";
import { MAX_CLEVIS_DEPTH, MAX_CLEVIS_PARTS, MAX_KEY_FILE_SIZE } from "../../spec/limits.js";
import { asObject, type JsonObject, parseJson } from "../../text/json.js";
import type { KeyServerClient } from "../client.js";
import { invalidSettings } from "../settings.js";
import { type AdvertisedKey, requireTrusted } from "./advertisement.js";
import { isThreshold } from "./clevis.js";
import { isThumbprint } from "./points.js";
import { fetchAdvertisement } from "./protocol.js";
import { serverUrl } from "./servers.js";
import { share } from "./shamir.js";

/** The servers of a recipient, before they are contacted. */
export type Plan = TangPlan | SssPlan;

export interface TangPlan {
  url: string;
  /** The thumbprint of a signing key; absent to trust the server on first use. */
  thumbprint: string | undefined;
}

interface SssPlan {
  threshold: number;
  parts: Plan[];
}

/** Wraps one secret, as a compact JWE. */
export type Wrap = (secret: Uint8Array) => Promise<string>;

export interface PrepareOptions {
  client: KeyServerClient;
  signal: AbortSignal | undefined;
  /** Called with the server and its signing keys if no thumbprint was given. */
  onFirstUse?: ((url: string, signers: readonly AdvertisedKey[]) => void) | undefined;
}

/**
 * Checks the settings of one Tang server.
 *
 * @throws {@link OcicryptError} `KEY_SERVER_CONFIG_INVALID`
 */
export function planTang(url: string, thumbprint: string | undefined): TangPlan {
  if (thumbprint !== undefined && !isThumbprint(thumbprint)) {
    throw invalidSettings(`${shown(thumbprint)} is not a thumbprint with SHA-256 or SHA-1`);
  }
  return { url: serverUrl(url), thumbprint };
}

/**
 * Reads a configuration of Clevis's pin `sss` (clevis-encrypt-sss(1)), whose pins are `tang` with
 * thumbprints, and `sss`.
 *
 * @throws {@link OcicryptError} `KEY_SERVER_CONFIG_INVALID`
 */
export function planSss(config: string | Uint8Array): Plan {
  const refuse = (why: string): Error => invalidSettings(`the configuration for sss: ${why}`);
  const value = parseJson(config, { maxSize: MAX_KEY_FILE_SIZE, refuse });
  return readSss(value, 0, { left: MAX_CLEVIS_PARTS }, refuse);
}

type Refuse = (why: string) => Error;

function readSss(value: unknown, depth: number, parts: { left: number }, refuse: Refuse): SssPlan {
  if (depth > MAX_CLEVIS_DEPTH) throw refuse("it is nested too deeply");
  const { t: threshold = 1, pins } = members(value, ["t", "pins"], refuse);
  const listed = Object.entries(asObject(pins) ?? {}).flatMap(([pin, configs]) =>
    (Array.isArray(configs) ? (configs as unknown[]) : [configs]).map((config) => ({
      pin,
      config,
    })),
  );
  parts.left -= listed.length;
  if (parts.left < 0) throw refuse("it has too many pins");
  const read = listed.map(({ pin, config }): Plan => {
    if (pin === "sss") return readSss(config, depth + 1, parts, refuse);
    if (pin !== "tang") throw refuse(`the pin ${shown(pin)} is not supported, only tang and sss`);
    const { url, thp } = members(config, ["url", "thp"], refuse);
    if (typeof url === "string" && typeof thp === "string") return planTang(url, thp);
    throw refuse('a pin tang lacks its "url", or the thumbprint "thp" of its server');
  });
  if (typeof threshold === "number" && isThreshold(threshold, read.length)) {
    return { threshold, parts: read };
  }
  throw refuse('"t" must be from 1 to the number of pins');
}

function members(value: unknown, known: readonly string[], refuse: Refuse): JsonObject {
  const object = asObject(value);
  if (object === undefined) throw refuse("it is not an object");
  const unknown = Object.keys(object).find((name) => !known.includes(name));
  if (unknown === undefined) return object;
  throw refuse(`it has the member ${shown(unknown)}, and only ${known.join(", ")} are supported`);
}

/**
 * Contacts the servers of a recipient, and checks their keys. Wrapping needs no server after that.
 *
 * @throws {@link OcicryptError} `KEY_SERVER_UNTRUSTED`, and the codes of the servers' failures
 */
export async function prepare(plan: Plan, options: PrepareOptions): Promise<Wrap> {
  if ("url" in plan) return prepareTang(plan, options);
  const { threshold, parts } = plan;
  const wraps = await Promise.all(parts.map((part) => prepare(part, options)));
  return async (secret) => {
    const { prime, secret: key, shares } = await share(threshold, wraps.length);
    try {
      const jwe = await Promise.all(wraps.map((wrap, i) => wrap(shares[i] ?? new Uint8Array())));
      const sss = { jwe, p: prime.toString("base64url"), t: threshold };
      return await seal(secret, { alg: "dir", clevis: { pin: "sss", sss } }, key);
    } finally {
      for (const bytes of [key, ...shares]) bytes.fill(0);
    }
  };
}

async function prepareTang(
  { url, thumbprint }: TangPlan,
  { client, signal, onFirstUse }: PrepareOptions,
): Promise<Wrap> {
  const advertised = await fetchAdvertisement({ client, address: url, signal });
  if (thumbprint === undefined) onFirstUse?.(url, advertised.signers);
  else requireTrusted(advertised, thumbprint, url);
  const [exchanger] = advertised.exchangers;
  if (exchanger === undefined) {
    throw new OcicryptError("KEY_SERVER_ANSWER_INVALID", `${url} has no exchange key`);
  }
  const key = createPublicKey({ key: { ...exchanger.key }, format: "jwk" });
  const clevis = { pin: "tang", tang: { adv: advertised.set, url } };
  const header = { alg: "ECDH-ES", kid: exchanger.thumbprint, clevis };
  return (secret) => seal(secret, header, key);
}

type Encrypt = InstanceType<(typeof import("jose/jwe/compact/encrypt"))["CompactEncrypt"]>;

/** Seals with the algorithms that Clevis uses. */
async function seal(
  secret: Uint8Array,
  header: JsonObject & { alg: string },
  key: Parameters<Encrypt["encrypt"]>[0],
): Promise<string> {
  const { CompactEncrypt } = await import("jose/jwe/compact/encrypt");
  const encrypter = new CompactEncrypt(secret);
  return encrypter.setProtectedHeader({ ...header, enc: "A256GCM" }).encrypt(key);
}
