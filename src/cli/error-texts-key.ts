import type {
  KeyErrorCode,
  KeyServerErrorCode,
  ProviderErrorCode,
  RegistryErrorCode,
  RuntimeErrorCode,
  TokenErrorCode,
} from "../errors.js";
import type { ErrorTexts } from "./error-texts-image.js";

/** Errors about keys, the services that hold them, and registries. */

export const KEY: ErrorTexts<KeyErrorCode> = {
  NO_KEYS: {
    meaning: "Decryption needs at least one key.",
    hint: "name a key with `-k`, such as `-k private.pem`",
  },
  NO_MATCHING_KEY: {
    meaning: "None of the keys opens the layer. The `cause`, if any, lists the failed attempts.",
    hint: "run `ocicrypt inspect` with the same `-k` to see why each key does not fit",
  },
  KEY_UNREADABLE: {
    meaning: "A key or password file cannot be read.",
    hint: "check the path and its permissions",
  },
  KEY_UNRECOGNIZED: {
    meaning: "The input is not a key, or it is damaged.",
    hint: "name a PEM, DER or JWK key; `openssl pkey -in FILE -noout` shows whether OpenSSL can read it",
  },
  KEY_UNSUPPORTED: {
    meaning:
      "The scheme does not support the key's type, size, curve or algorithm. JWE takes RSA keys of at least 2048 bits, and EC keys on P-256, P-384 and P-521.",
    hint: "use an RSA key (2048 bits or more) or an EC key with jwe:FILE, or an RSA certificate with pkcs7:FILE",
  },
  KEY_USE_FORBIDDEN: {
    meaning: "The key states that it is not for encryption; it may be a JWK for signatures.",
    hint: "use a key that is meant for encryption",
  },
  KEY_IS_PRIVATE: {
    meaning: "A recipient needs a public key, but this key is private.",
    hint: "extract the public key: `openssl pkey -in FILE -pubout -out public.pem`",
  },
  KEY_IS_PUBLIC: {
    meaning: "Decryption needs a private key, but this is a public key or certificate.",
    hint: "name the private key that belongs to it, such as `-k private.pem`",
  },
  KEY_MISMATCH: {
    meaning: "A private key and a certificate do not belong together.",
    hint: "name a matching pair, `-k private.pem -k certificate.pem`, or the private key alone",
  },
  CERTIFICATE_NOT_YET_VALID: {
    meaning: "The recipient's certificate is not valid yet.",
    hint: "check the clock, or wait until the certificate is valid",
  },
  CERTIFICATE_EXPIRED: {
    meaning: "The recipient's certificate has expired.",
    hint: "ask the recipient for a new certificate",
  },
  KEY_EXPIRED: {
    meaning: "The recipient's OpenPGP key has expired.",
    hint: "ask the recipient for a new key, or for the same key with a later expiry date",
  },
  KEY_REVOKED: {
    meaning: "The recipient's OpenPGP key is revoked.",
    hint: "ask the recipient for the key that replaces it",
  },
  RECIPIENT_INVALID: {
    meaning: "The text does not name a recipient, or `provider:` lacks the name of a key provider.",
    hint: "write a scheme and a value, such as `jwe:public.pem` or `provider:NAME`",
  },
  RECIPIENT_NOT_FOUND: {
    meaning:
      "No OpenPGP key has the given name, or no recipient of the image matches the one to remove.",
    hint: "run `ocicrypt recipients list` to see an image's recipients, or `gpg --list-keys` to see OpenPGP keys",
  },
  RECIPIENT_AMBIGUOUS: {
    meaning: "Several OpenPGP keys have the given name.",
    hint: "name the key by its fingerprint",
  },
  GPG_NOT_FOUND: {
    meaning: "The program gpg, which manages the key ring, is not installed.",
    hint: "install gpg, or name a file that holds the key with `--pgp-key-ring`",
  },
  GPG_FAILED: {
    meaning: "gpg could not export the key.",
    hint: "run `gpg --export NAME` to see why",
  },
  PASSWORD_MISSING: {
    meaning: "The private key is encrypted, and no password was given.",
    hint: "say where the password is: FILE:prompt, FILE:file=PASSWORDFILE or FILE:env=VARIABLE",
  },
  PASSWORD_WRONG: {
    meaning: "The password does not open the private key.",
    hint: "check the password; with file=, the last line end is not part of it",
  },
};

export const REGISTRY: ErrorTexts<RegistryErrorCode> = {
  REGISTRY_UNREACHABLE: {
    meaning:
      "The registry did not answer or stopped answering, or its proxy cannot be used. If it is unknown whether the tag was written, the message says so.",
    hint: "check the registry's name and the network, and run the command again",
  },
  REGISTRY_DENIED: {
    meaning: "The registry does not grant access to this repository with these credentials.",
    hint: "log in with the right password (ocicrypt login HOST), or check your permissions",
  },
  REGISTRY_FAILED: {
    meaning: "The registry answered with an error, which the message quotes.",
    hint: "run the command again; if it keeps failing, ask whoever runs the registry",
  },
  REGISTRY_INVALID_RESPONSE: {
    meaning: "The registry's answer does not follow the distribution protocol.",
    hint: "check that the name belongs to a registry, not to a proxy or a web page",
  },
  REGISTRY_UPLOAD_LOST: {
    meaning:
      "The connection failed several times during an upload, and the registry lost the part it had received.",
    hint: "run the command again: blobs that were uploaded completely are not sent again",
  },
  CREDENTIALS_INVALID: {
    meaning: "The stored credentials cannot be read.",
    hint: "log in again, or repair the file or helper that the message names",
  },
};

export const PROVIDER: ErrorTexts<ProviderErrorCode> = {
  PROVIDER_CONFIG_INVALID: {
    meaning: "The configuration of key providers is not valid.",
    hint: 'check the file that OCICRYPT_KEYPROVIDER_CONFIG names: it must be JSON with an object "key-providers"',
  },
  PROVIDER_NOT_CONFIGURED: {
    meaning: "The configuration has no provider of that name.",
    hint: "check the name, or add the provider to the file that OCICRYPT_KEYPROVIDER_CONFIG names",
  },
  PROVIDER_NOT_FOUND: {
    meaning: "The provider's command does not exist.",
    hint: "check the path of the provider's command",
  },
  PROVIDER_FAILED: {
    meaning: "The provider answered with an error, or could not be run or reached.",
    hint: "run the provider by hand with the same configuration to see why",
  },
  PROVIDER_TIMEOUT: {
    meaning: "The provider did not answer in time.",
    hint: "check the key service behind the provider",
  },
  PROVIDER_INVALID_REQUEST: {
    meaning:
      "A key provider that this library serves received a request that does not follow the protocol.",
    hint: "check the tool that called the provider: it does not follow the protocol",
  },
  PROVIDER_INVALID_RESPONSE: {
    meaning: "The provider's answer does not follow the protocol.",
    hint: "check the provider: it does not follow the key provider protocol",
  },
  PACKAGE_MISSING: {
    meaning: "The scheme needs an optional package that is not installed.",
    hint: "install the package that the message names with npm; use `-g` if ocicrypt was installed with `-g`",
  },
};

export const TOKEN: ErrorTexts<TokenErrorCode> = {
  PKCS11_CONFIG_MISSING: {
    meaning: "No configuration says which modules may be loaded.",
    hint: "set OCICRYPT_CONFIG=internal, or set it to the path of a configuration file",
  },
  PKCS11_CONFIG_INVALID: {
    meaning:
      "The configuration, or an environment variable for PKCS#11, is not valid. The message says where.",
    hint: 'check the file: "pkcs11" contains the lists module-directories and allowed-module-paths',
  },
  MODULE_NOT_FOUND: {
    meaning: "The module that the key file names does not exist or cannot be loaded.",
    hint: "check module-name or module-path in the key file, and the module directories",
  },
  MODULE_NOT_ALLOWED: {
    meaning: "The configuration does not allow this module.",
    hint: "add the module to allowed-module-paths in the configuration",
  },
  TOKEN_NOT_FOUND: {
    meaning: "No token matches the key's URI.",
    hint: "plug in the token, or correct the URI: `pkcs11-tool -L` lists the tokens",
  },
  TOKEN_FAILED: {
    meaning: "An operation of the token failed. The message contains the token's own code.",
    hint: "test the token and the key with `pkcs11-tool`",
  },
  PIN_MISSING: {
    meaning: "The token's private key needs a PIN.",
    hint: "add pin-value or pin-source to the URI in the key file",
  },
  PIN_WRONG: {
    meaning: "The token rejects the PIN.",
    hint: "correct the PIN before you try again: tokens lock after a few wrong PINs",
  },
  OBJECT_NOT_FOUND: {
    meaning: "The token has no key that matches the URI.",
    hint: "check object and id in the URI: `pkcs11-tool -O` lists the objects of the token",
  },
  OBJECT_AMBIGUOUS: {
    meaning: "Several tokens or keys match the URI.",
    hint: "add the key's id to the URI",
  },
};

export const RUNTIME: ErrorTexts<RuntimeErrorCode> = {
  PAYLOAD_MISSING: {
    meaning:
      "The client of containerd passed no payload to `ocicrypt-decoder`, and no manifest in the content store names the layer.",
    hint: "add `--content-store` with containerd's content store to the args of the stream processor",
  },
  PAYLOAD_INVALID: {
    meaning: "The payload that a client of containerd passed to `ocicrypt-decoder` is damaged.",
    hint: "pull with another client, or with one that passes no payload, such as `ctr`",
  },
  RUNTIME_CONFIG_INVALID: {
    meaning:
      "The configuration of a container runtime does not exist, cannot be read, or is damaged. The message says where.",
    hint: "correct the file, or name another with `--runtime-config`",
  },
  KEY_SYNC_CONFLICT: {
    meaning:
      "`keys sync` found files at the destination that it did not create, or its list of copies is damaged.",
    hint: "move the files that the message names out of the way, and run `keys sync` again",
  },
};

export const KEY_SERVER: ErrorTexts<KeyServerErrorCode> = {
  KEY_SERVER_CONFIG_INVALID: {
    meaning: "The settings of a key server are not valid. The message says where.",
    hint: "correct the file of `--key-servers` or the argument that the message names",
  },
  KEY_SERVER_UNREACHABLE: {
    meaning:
      "The key server did not answer in time or is busy, or its proxy cannot be used. The message says which.",
    hint: "check that the key server runs and that this machine can reach it, and run the command again",
  },
  KEY_SERVER_UNAUTHORIZED: {
    meaning: "The key server does not allow this user to use the key, or rejects the credentials.",
    hint: "check the credentials, and the permissions for this key in the key server",
  },
  KEY_SERVER_KEY_NOT_FOUND: {
    meaning: "The key server does not have the key, or no longer has it.",
    hint: "check the name of the key; if it was deleted, only its backup or another recipient opens the layer",
  },
  KEY_SERVER_KEY_DISABLED: {
    meaning: "The key server has the key, but its state does not allow this use.",
    hint: "ask whoever runs the key server to enable the key",
  },
  KEY_SERVER_ANSWER_INVALID: {
    meaning: "The key server's answer does not follow its protocol, or redirects to another place.",
    hint: "check that the URL belongs to the key server, not to a proxy or a web page",
  },
  KEY_SERVER_NOT_ALLOWED: {
    meaning:
      "The wrapped key, or the client of a key provider, names a server that is not among the allowed servers. The server was not contacted, because anyone can write an address into an image.",
    hint: "if you trust the server, name it with `-k tang:URL`, or add it to the file of `--key-servers`",
  },
  KEY_SERVER_UNTRUSTED: {
    meaning: "The key server's keys are not signed by the key that you trust.",
    hint: "compare the thumbprint with `tang-show-keys` on the server, and ask its owner whether the keys were rotated",
  },
  KEY_SERVER_THRESHOLD: {
    meaning:
      "A layer needs several key servers, and too few of them could be used. The message gives the reason for each.",
    hint: "start or allow the servers that the message names until there are enough, and run the command again",
  },
};
