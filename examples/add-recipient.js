// Gives one more person access to an encrypted layer. Only annotations change, not the blob.
import { generateKeyPairSync } from "node:crypto";
import {
  addRecipients,
  encryptLayer,
  encryptionSchemes,
  listRecipients,
  unwrapOnly,
} from "ocicrypt";
import { jwe } from "ocicrypt/jwe";

const [alice, bob] = [1, 2].map(() => generateKeyPairSync("rsa", { modulusLength: 2048 }));
const publicPem = ({ publicKey }) => publicKey.export({ type: "spki", format: "pem" });
const privatePem = ({ privateKey }) => privateKey.export({ type: "pkcs8", format: "pem" });

const layer = encryptLayer(Buffer.from("a layer"), {
  descriptor: { mediaType: "application/vnd.oci.image.layer.v1.tar" },
  recipients: [jwe.recipient(publicPem(alice))],
});
for await (const _chunk of layer.stream); // upload it, for example
const before = await layer.finalize();

const after = await addRecipients(before, {
  recipients: [jwe.recipient(publicPem(bob))],
  keys: [jwe.key(privatePem(alice))],
});
console.log(encryptionSchemes(after), await listRecipients(after));
if (after.digest !== before.digest) throw new Error("the blob must not change");
const opening = await unwrapOnly(after, { keys: [jwe.key(privatePem(bob), { label: "Bob" })] });
console.log(`${opening.key.label} opens recipient ${opening.index}`);
