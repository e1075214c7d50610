// Every declaration is checked: nothing of a subpath may need a newer compiler or a library of types
// that the user lacks.
export * as layers from "ocicrypt";
export * as images from "ocicrypt/image";
export { jwe } from "ocicrypt/jwe";
export * as keys from "ocicrypt/keys";
export { pgp } from "ocicrypt/pgp";
export { pkcs11 } from "ocicrypt/pkcs11";
export { pkcs7 } from "ocicrypt/pkcs7";
export { provider } from "ocicrypt/provider";
export * as files from "ocicrypt/files";
export * as places from "ocicrypt/places";
export * as registries from "ocicrypt/registry";
export * as stores from "ocicrypt/store";
export * as blobs from "ocicrypt/blobs";
