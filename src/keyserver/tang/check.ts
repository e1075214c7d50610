import type { ServerReport } from "../../keywrap/types.js";
import type { KeyServerClient } from "../client.js";
import { stateOf } from "../envelope.js";
import type { Pin, TangPin } from "./clevis.js";
import { randomPoint } from "./points.js";
import { type Contact, fetchSignedBy, recover } from "./protocol.js";
import type { AllowedServers } from "./servers.js";

export interface CheckOptions {
  client: KeyServerClient;
  allowed: AllowedServers;
  signal?: AbortSignal | undefined;
}

/**
 * Asks the servers of a wrapped key whether they still have, and still advertise, the keys that it
 * needs. Nothing is unwrapped.
 */
export async function checkPin(pin: Pin, options: CheckOptions): Promise<ServerReport[]> {
  if (pin.pin === "tang") return [await checkTang(pin, options)];
  return (await Promise.all(pin.parts.map((part) => checkPin(part, options)))).flat();
}

async function checkTang(pin: TangPin, options: CheckOptions): Promise<ServerReport> {
  const ask = (): Promise<boolean> => isCurrent(pin, options);
  return { server: pin.url, keyId: pin.kid, ...(await stateOf(ask, options.signal)) };
}

async function isCurrent(
  pin: TangPin,
  { client, allowed, signal }: CheckOptions,
): Promise<boolean> {
  const contact: Contact = { client, address: allowed.resolve(pin.url), signal };
  await recover(contact, pin.kid, await randomPoint(pin.server.crv));
  // An answer that the old key did not sign could come from anyone.
  for (const signer of pin.signers) {
    const advertised = await fetchSignedBy(contact, signer);
    if (advertised === undefined) continue;
    return advertised.exchangers.some(({ thumbprint }) => thumbprint === pin.kid);
  }
  return false;
}
