const { readFileSync } = require("node:fs");
const { encryptLayer } = require("ocicrypt");
const { jwe } = require("ocicrypt/jwe");

async function main() {
  const { stream, finalize } = encryptLayer(Buffer.from("a layer"), {
    descriptor: { mediaType: "application/vnd.oci.image.layer.v1.tar" },
    recipients: [jwe.recipient(readFileSync("public.pem"))],
  });
  for await (const _chunk of stream);
  console.log((await finalize()).mediaType);
}
main();
