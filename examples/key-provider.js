#!/usr/bin/env node
// A key provider in few lines: AES-256-GCM under the 32 bytes in the file KEY_FILE.
//
// As a command, in the file that OCICRYPT_KEYPROVIDER_CONFIG names for skopeo, containerd and CRI-O:
//   {"key-providers": {"local": {"cmd": {"path": "/path/to/key-provider.js"}}}}
// As a server, with {"grpc": "127.0.0.1:7777"} there instead:
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
