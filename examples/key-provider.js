#!/usr/bin/env node
// A small key provider: AES-256-GCM with the 32-byte key in the file that KEY_FILE names.
//
// To run it as a command, name it in the file that OCICRYPT_KEYPROVIDER_CONFIG points to. skopeo,
// containerd and CRI-O read the same file:
//   {"key-providers": {"local": {"cmd": {"path": "/path/to/key-provider.js"}}}}
// To run it as a server, write {"grpc": "127.0.0.1:7777"} instead of "cmd", and start it:
//   KEY_FILE=... node key-provider.js --grpc 127.0.0.1:7777
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { serveKeyProvider } from "ocicrypt/provider";

const key = readFileSync(process.env.KEY_FILE ?? "/etc/ocicrypt/key-provider.key");

const provider = {
  async wrapKey({ bytes }) {
    const iv = randomBytes(12);
    const cipher = createCipheriv("aes-256-gcm", key, iv);
    return Buffer.concat([iv, cipher.update(bytes), cipher.final(), cipher.getAuthTag()]);
  },
  async unwrapKey({ bytes }) {
    const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(0, 12), {
      authTagLength: 16,
    });
    decipher.setAuthTag(bytes.subarray(-16));
    return Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()]);
  },
};

if (process.argv[2] === "--grpc") {
  const { address } = await serveKeyProvider(provider, {
    transport: "grpc",
    address: process.argv[3],
  });
  console.log(`listening on ${address}`);
} else {
  await serveKeyProvider(provider, { transport: "cmd" });
}
