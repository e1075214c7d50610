import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { DIRECTIONS, type Direction } from "./matrix/cells.js";
import { findPeers, limitOf, nameOf, type Peer } from "./matrix/columns.js";
import { makeKeyRings, makeToken, startProvider } from "./matrix/environment.js";
import { PeerError } from "./matrix/implementation.js";
import { schemes, type Scheme } from "./matrix/schemes.js";
import { table, updatePage, type Outcome } from "./matrix/table.js";
import { requirePeer, temporaryDirectory, VECTORS } from "./peers.js";

const directory = temporaryDirectory();
const inDirectory = (name: string): string => join(directory, name);

const nistp256 = inDirectory("nistp256.sec.gpg");
const token = inDirectory("token.yaml");
const rows = schemes({ rings: makeKeyRings(directory, nistp256), nistp256, token });
const peers = await findPeers(directory);
makeToken(directory, join(VECTORS, "peers/keys/rsa2048.pkcs8.pem"), token);

beforeAll(async () => {
  const keyFile = inDirectory("provider.key");
  vi.stubEnv("KEY_FILE", keyFile);
  const { config, stop } = await startProvider(directory, keyFile);
  vi.stubEnv("OCICRYPT_KEYPROVIDER_CONFIG", config);
  vi.stubEnv("OCICRYPT_CONFIG", "internal");
  // SoftHSM has no other, and what is encrypted fits into RSA-2048 with no other.
  vi.stubEnv("OCICRYPT_OAEP_HASHALG", "sha1");
  return stop;
});

const outcomes = new Map<string, Outcome>();
const cellOf = (...[peer, { name }, direction]: [Peer, Scheme, Direction]): string =>
  [nameOf(peer), name, direction].join("|");

describe.for(peers.map((peer) => ({ name: nameOf(peer), peer })))("$name", ({ peer }) => {
  const cells = rows
    .filter(({ name }) => peer.rows?.test(name) !== false)
    .flatMap((scheme) => DIRECTIONS.map((direction) => ({ name: scheme.name, scheme, direction })));

  it.for(cells)("$name: $direction", async ({ scheme, direction }, context) => {
    requirePeer(context, peer.name, peer.isThere);
    requirePeer(context, scheme.missing ?? "", scheme.missing === undefined);
    const cell = cellOf(peer, scheme, direction);
    outcomes.set(cell, "failed");
    vi.stubEnv("GNUPGHOME", scheme.gnupgHome ?? inDirectory("gpg-rsa"));
    const limit = limitOf(peer, scheme, direction);
    const attempt = peer.exchange(scheme, direction);
    if (limit === undefined) {
      await attempt;
    } else {
      const error = await attempt.catch((caught: unknown) => caught);
      expect(error, "a limit that the peer no longer has").toBeInstanceOf(PeerError);
      expect((error as PeerError).message).toMatch(limit.messages[direction]!);
    }
    outcomes.set(cell, limit ?? "works");
  });
});

afterAll(async () => {
  vi.unstubAllEnvs();
  const markdown = await table(
    rows,
    peers,
    (...cell) => outcomes.get(cellOf(...cell)) ?? "not run",
  );
  console.log(markdown);
  if (process.env.UPDATE_DOCS !== "1") return;
  expect(markdown).not.toMatch(/failed|not run/);
  updatePage(markdown);
});
