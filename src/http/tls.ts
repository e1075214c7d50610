import { X509Certificate } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { connect, createSecureContext, rootCertificates, type SecureContext } from "node:tls";
import { OcicryptError, cannotRead, errno } from "../errors.js";
import { recoverKeyFile } from "../keys/material.js";
import { decodeBlock, pemBlocks } from "../keys/pem.js";

/** Options of Node.js for TLS connections. */
export interface TrustedTls {
  /**
   * The options for every TLS connection. They are created on first use, because this takes a while.
   */
  trusted(): { secureContext?: SecureContext };
  /**
   * The options for connections to the registry itself, with its client certificate, if any.
   */
  presented(url: URL): { secureContext: SecureContext } | undefined;
}

export interface TlsOptions {
  /** The registry's host and port, as in references and in the names of certificate directories. */
  host: string;
  /** Additional certificates to trust, in PEM. */
  ca: readonly string[];
  /** Default: `process.env`. */
  env?: Readonly<Record<string, string | undefined>>;
  /**
   * The directories that contain a directory for each host. Default:
   * {@link certificateDirectories}.
   */
  directories?: readonly string[];
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
/** In milliseconds. If a server on this machine is silent for this long, HTTP is used. */
const PROBE_TIMEOUT = 3000;

/**
 * Returns the directories in which skopeo and Docker look for a registry's certificates, the user's
 * own first (https://github.com/containers/image/blob/main/docs/containers-certs.d.5.md,
 * https://docs.docker.com/engine/security/certificates/).
 */
export function certificateDirectories(
  env: Readonly<Record<string, string | undefined>> = process.env,
): string[] {
  const own = env.XDG_CONFIG_HOME;
  const config = own === undefined || own === "" ? join(homedir(), ".config") : own;
  const user = join(config, "containers/certs.d");
  if (process.platform === "win32") return [user];
  return [user, "/etc/containers/certs.d", "/etc/docker/certs.d"];
}

/**
 * Collects the certificates to trust in addition to those of Node.js: the given certificates, those
 * of `SSL_CERT_FILE` and `NODE_EXTRA_CA_CERTS`, and `*.crt` in the first directory that exists for
 * the host. A pair of `*.cert` and `*.key` in that directory is the client certificate.
 *
 * @throws {@link OcicryptError} `CREDENTIALS_INVALID` for files of a directory that cannot be used
 */
export async function loadTls(options: TlsOptions): Promise<TrustedTls> {
  const { host, ca, env = process.env, directories = certificateDirectories(env) } = options;
  const found = await hostCertificates(host, directories);
  const [bundle, extra] = await Promise.all([
    bundled(env.SSL_CERT_FILE),
    bundled(env.NODE_EXTRA_CA_CERTS),
  ]);
  // Node.js does not use its default certificates once others are given.
  const all = once(() => {
    const more = [...ca, ...found.ca, ...bundle.filter(isCertificate)];
    if (more.length === 0) return {};
    return { ca: [...rootCertificates, ...more, ...extra.filter(isCertificate)] };
  });
  const { client } = found;
  const own = client === undefined ? undefined : contextOf({ ...all(), ...client }, host);
  const trusted = once(() => (all().ca === undefined ? {} : { secureContext: contextOf(all(), host) })); // prettier-ignore
  return {
    trusted,
    presented: (url) =>
      own !== undefined && url.host === new URL(`https://${host}`).host
        ? { secureContext: own }
        : undefined,
  };
}

function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}

function contextOf(options: { ca?: string[]; cert?: string; key?: string }, host: string) {
  try {
    return createSecureContext(options);
  } catch {
    // OpenSSL's message does not name the file, and its data may contain a key.
    throw invalid(host, "a certificate or key is not valid PEM, or they do not belong together");
  }
}

interface HostCertificates {
  ca: string[];
  client?: { cert: string; key: string };
}

async function hostCertificates(
  host: string,
  directories: readonly string[],
): Promise<HostCertificates> {
  for (const parent of directories) {
    const directory = join(parent, host);
    let names: string[];
    try {
      names = (await readdir(directory)).sort();
    } catch (error) {
      // As in skopeo, a directory that this user may not read is skipped.
      if (["ENOENT", "ENOTDIR", "EACCES", "EPERM"].includes(errno(error) ?? "")) continue;
      throw error;
    }
    const read = async (name: string): Promise<string> => {
      try {
        return await readFile(join(directory, name), "latin1");
      } catch (error) {
        throw invalid(host, cannotRead(join(directory, name), error));
      }
    };
    const roots = await Promise.all(names.filter((name) => name.endsWith(".crt")).map(read));
    const ca = roots.flatMap((text) => text.match(CERTIFICATE) ?? []);
    const certificate = names.find((name) => name.endsWith(".cert"));
    if (certificate === undefined) return { ca };
    const keyName = `${certificate.slice(0, -".cert".length)}.key`;
    if (!names.includes(keyName)) {
      throw invalid(host, `${join(directory, certificate)} has no ${keyName} beside it`);
    }
    return { ca, client: { cert: await read(certificate), key: await read(keyName) } };
  }
  return { ca: [] };
}

/** Reads the certificates of a file that an environment variable names. A missing file has none. */
async function bundled(path: string | undefined): Promise<string[]> {
  if (path === undefined || path === "") return [];
  const text = await readFile(path, "latin1").catch(() => "");
  return text.match(CERTIFICATE) ?? [];
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.byteLength > 0;
  } catch {
    return false;
  }
}

/**
 * Splits PEM certificates.
 *
 * @throws {TypeError} if there is no certificate, or if one is not valid: Node.js would ignore it
 */
export function parseCertificates(pem: string | Uint8Array): string[] {
  const file = recoverKeyFile(pem);
  const blocks = typeof file === "string" ? pemBlocks(file) : [];
  const found = blocks.filter(({ label }) => label === "CERTIFICATE");
  if (found.length === 0) throw new TypeError("ca holds no certificate in PEM");
  try {
    return found.map((block) => new X509Certificate(decodeBlock(block)).toString());
  } catch {
    throw new TypeError("ca holds a certificate that is not valid");
  }
}

/** Whether servers speak TLS, by origin. */
const probed = new Map<string, Promise<boolean | undefined>>();
const MAX_PROBED = 1000;

/**
 * Finds out whether a server answers a TLS handshake, whatever its certificate, and remembers the
 * result. It sends no request.
 *
 * @param timeout in milliseconds
 */
export async function speaksTls(url: URL, timeout: number): Promise<boolean> {
  const known = probed.get(url.origin);
  if (known !== undefined) return (await known) ?? false;
  if (probed.size >= MAX_PROBED) probed.clear();
  const probe = probeTls(url, timeout);
  probed.set(url.origin, probe);
  const answer = await probe;
  // A server that is not running may be started later, so no result is remembered.
  if (answer === undefined) probed.delete(url.origin);
  return answer ?? false;
}

/** @returns `undefined` if there is no connection */
function probeTls({ hostname, port }: URL, timeout: number): Promise<boolean | undefined> {
  return new Promise((resolve) => {
    const socket = connect({
      host: hostname.replace(/^\[(.*)\]$/, "$1"),
      port: Number(port === "" ? 443 : port),
      // This only tests the protocol; connections that carry requests verify the certificate.
      rejectUnauthorized: false,
      // Avoids loading all the certificates that Node.js trusts.
      secureContext: createSecureContext({ ca: [] }),
    });
    let isConnected = false;
    const end = (answer: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer || isConnected ? answer : undefined);
    };
    const timer = setTimeout(
      () => {
        end(false);
      },
      Math.min(timeout, PROBE_TIMEOUT),
    );
    socket.once("connect", () => {
      isConnected = true;
    });
    socket.once("secureConnect", () => {
      end(true);
    });
    // An alert is TLS too: the server may insist on a client certificate.
    socket.on("error", (error) => {
      end((errno(error) ?? "").includes("ALERT"));
    });
    socket.once("close", () => {
      end(false);
    });
  });
}

function invalid(host: string, why: string): OcicryptError {
  const message = `the certificates for ${host} cannot be used: ${why}`;
  return new OcicryptError("CREDENTIALS_INVALID", message);
}
