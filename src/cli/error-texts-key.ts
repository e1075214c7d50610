import type {
  KeyErrorCode,
  ProviderErrorCode,
  RegistryErrorCode,
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
    hint: "check the file that OCICRYPT_KEYPROVIDER_CONFIG names: it must be JSON with an object key-providers",
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
      "A provider made with this library received a request that does not follow the protocol.",
    hint: "check the tool that called the provider: it does not follow the protocol",
  },
  PROVIDER_INVALID_RESPONSE: {
    meaning: "The provider's answer does not follow the protocol.",
    hint: "check the provider: it does not follow the key provider protocol",
  },
  PACKAGE_MISSING: {
    meaning: "The scheme needs an optional package that is not installed.",
    hint: "install the package that the message names with npm, and with `-g` if ocicrypt was installed with `-g`",
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
    meaning: "The token failed to do an operation. The message contains the token's own code.",
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
