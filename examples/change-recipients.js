// Changes the recipient of every image in a repository from Alice to Bob. Only manifests change;
// no layer is transferred.
import { generateKeyPairSync } from "node:crypto";
import { join } from "node:path";
import { encryptImage, inspectImage, replaceImageRecipients } from "ocicrypt/image";
import { jwe } from "ocicrypt/jwe";
import { registryDestination, registrySource } from "ocicrypt/registry";
import { layoutSource } from "ocicrypt/store";
import { makeImage } from "./make-image.js";
import { startRegistry } from "./start-registry.js";

const { host, directory, stop } = await startRegistry();
const repository = "team/app";
const [alice, bob] = [1, 2].map(() => generateKeyPairSync("ec", { namedCurve: "P-256" }));
const recipientsOf = ({ publicKey }) => [jwe.recipient(publicKey.export({ format: "jwk" }))];
const keysOf = ({ privateKey }) => [jwe.key(privateKey.export({ format: "jwk" }))];

const app = { path: join(directory, "app"), tag: "latest" };
await makeImage(app.path, app.tag);
for (const tag of ["1", "2", "3"]) {
  const destination = await registryDestination({ host, repository, tag });
  await encryptImage(layoutSource(app), destination, { recipients: recipientsOf(alice) });
}

/** Lists all tags, page by page. */
async function* listTags() {
  let url = new URL(`http://${host}/v2/${repository}/tags/list?n=2`);
  while (url) {
    const response = await fetch(url);
    if (!response.ok) throw new Error(`${url} answers ${response.status}`);
    yield* (await response.json()).tags;
    const next = /<([^>]+)>; *rel="?next"?/.exec(response.headers.get("link") ?? "")?.[1];
    url = next && new URL(next, url);
  }
}

// Anyone with an old manifest and Alice's key can still open the blobs. rotateImage gives the
// layers new keys.
let changed = 0;
for await (const tag of listTags()) {
  const image = { host, repository, tag };
  const result = await replaceImageRecipients(
    registrySource(image),
    await registryDestination(image),
    { recipients: recipientsOf(bob), keys: keysOf(alice) },
  );
  const { manifests } = await inspectImage(registrySource(image), {
    keys: [...keysOf(alice), ...keysOf(bob)],
  });
  const opens = manifests[0].layers.map(({ keys }) => keys.map((key) => key.opens));
  console.log(tag, result.image.digest, JSON.stringify(opens));
  if (!opens.every(([alices, bobs]) => !alices && bobs)) throw new Error("only Bob must open it");
  changed++;
}
if (changed !== 3) throw new Error(`${changed} images were changed`);
await stop();
