import { closest } from "./errors.js";

/** Hints for options of skopeo, podman, docker and ctr that do not exist here. */
const LOGIN = "log in first: ocicrypt login HOST; or pass USER:PASSWORD with --creds-stdin";
const TLS =
  "use --plain-http for a registry without TLS, or --ca-file FILE to trust its certificate";
const ALL = "omit it: all platforms are included; --platform selects some of them";
const CERTIFICATES = "use --ca-file FILE with the certificates in PEM";
const POLICY = "use --verify-signature FILE to require a cosign signature";
const SIGNING = "sign the encrypted image afterwards, because it has a new digest";
const PLATFORM = "use --platform OS/ARCH";
const KEPT = "omit it: the format and compression of the image are kept";
const NO_LOGIN = "omit it: a registry that needs no login gets no credentials";
const DAEMON = "set the environment variable DOCKER_HOST";
const SHARED = "copy the image to a layout of its own first, with skopeo copy";
const RETRIES = "omit it: failed requests are retried";

const HINTS: Readonly<Record<string, string>> = {
  ...{ creds: LOGIN, "src-creds": LOGIN, "dest-creds": LOGIN, username: LOGIN, password: LOGIN },
  ...{ "src-username": LOGIN, "src-password": LOGIN, "dest-username": LOGIN },
  ...{ "dest-password": LOGIN, "src-registry-token": LOGIN, "dest-registry-token": LOGIN },
  ...{
    user: LOGIN,
    u: LOGIN,
  },
  "src-authfile": "use --authfile FILE for both images",
  "dest-authfile": "use --authfile FILE for both images",
  ...{ "tls-verify": TLS, "src-tls-verify": TLS, "dest-tls-verify": TLS, insecure: TLS },
  ...{ "skip-verify": TLS, "insecure-registry": TLS },
  ...{ "cert-dir": CERTIFICATES, "src-cert-dir": CERTIFICATES, "dest-cert-dir": CERTIFICATES },
  ...{ cacert: CERTIFICATES, tlscacert: CERTIFICATES },
  ...{ all: ALL, a: ALL, "all-platforms": ALL, "multi-arch": ALL },
  ...{ "override-os": PLATFORM, "override-arch": PLATFORM, "override-variant": PLATFORM },
  ...{ os: PLATFORM, arch: PLATFORM },
  ...{ policy: POLICY, "registries.d": POLICY },
  "insecure-policy": "omit it: signatures are checked only with --verify-signature",
  ...{ "registries-conf": "omit it, and write the whole name of the registry" },
  ...{ "sign-by": SIGNING, "sign-by-sigstore": SIGNING, "sign-identity": SIGNING },
  "remove-signatures": "omit it: signatures of the former digest are not copied",
  ...{ format: KEPT, "dest-compress": KEPT, "dest-decompress": KEPT, "preserve-digests": KEPT },
  ...{
    "dest-compress-format": KEPT,
    "dest-compress-level": KEPT,
    "dest-oci-accept-uncompressed-layers": KEPT,
  },
  ...{ "retry-times": RETRIES, "retry-delay": RETRIES, retry: RETRIES },
  "command-timeout": "omit it, or run the command under timeout(1)",
  "additional-tag": "encrypt once, then add the tag with skopeo copy",
  raw: "use ocicrypt inspect --json, or skopeo inspect --raw",
  recipients: "use -r for each recipient",
  "gpg-homedir": "set the environment variable GNUPGHOME, or use --pgp-key-ring FILE",
  "dec-recipient": "omit it; name a certificate that belongs to a key with another -k",
  output: "name the destination as the second image",
  o: "name the destination as the second image",
  "dry-run": "use ocicrypt inspect, which writes nothing",
  verbose: "use --debug",
  "log-level": "use --debug",
  ...{ "src-no-creds": NO_LOGIN, "dest-no-creds": NO_LOGIN, "no-creds": NO_LOGIN },
  tmpdir: "set the environment variable TMPDIR",
  ...{ "src-daemon-host": DAEMON, "dest-daemon-host": DAEMON },
  ...{ "src-shared-blob-dir": SHARED, "dest-shared-blob-dir": SHARED },
  ...{ "image-parallel-copies": "use --jobs for many images", "encrypt-key": "use -r" },
  force: "omit it: an image of the same name is replaced",
  v: "use --debug, or --version for the version",
};

/** Returns the hint for an option of another tool, by its name without dashes. */
export function foreignHint(name: string): string | undefined {
  return Object.hasOwn(HINTS, name) ? HINTS[name] : undefined;
}

/** An own option, or else an option of another tool. A short name is similar to too many. */
export function similarOption(name: string, options: readonly string[]): string | undefined {
  const foreign = closest(
    name,
    Object.keys(HINTS).filter((each) => isLikely(name, each)),
  );
  const own = closest(name, options);
  if (own === undefined || foreign === undefined) return own ?? foreign;
  return closest(name, foreign.startsWith(name) ? [foreign] : [own, foreign]);
}

function isLikely(name: string, option: string): boolean {
  return option.length > 2 && (name.length > 5 || option.startsWith(name));
}
