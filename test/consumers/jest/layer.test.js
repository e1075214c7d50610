import { readFileSync } from "node:fs";
import { encryptLayer, isEncryptedDescriptor } from "ocicrypt";
import { jwe } from "ocicrypt/jwe";

test("layers are encrypted", async () => {
  const { stream, finalize } = encryptLayer(Buffer.from("a layer"), {
    descriptor: { mediaType: "application/vnd.oci.image.layer.v1.tar" },
    recipients: [jwe.recipient(readFileSync("public.pem"))],
  });
  for await (const _chunk of stream);
  expect(isEncryptedDescriptor(await finalize())).toBe(true);
});
