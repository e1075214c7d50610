import { mutateDer } from "./der.js";

/** Changes what is in one block of a PEM file; `undefined` if there is none. */
export function mutatePem(bytes, context) {
  const text = bytes.toString("latin1");
  const blocks = [...text.matchAll(/-----BEGIN ([^-\n]*)-----\n([^-]*)-----END [^-\n]*-----\n?/g)];
  if (blocks.length === 0) return undefined;
  const { random, inputs } = context;
  const block = random.pick(blocks);
  const [whole, label, body] = block;
  const write = (name, content) => `-----BEGIN ${name}-----\n${content}-----END ${name}-----\n`;
  let changed;
  if (random.chance(0.15)) changed = whole.repeat(random.pick([0, 2, 3, 40]));
  else if (random.chance(0.1)) changed = write(random.pick(LABELS), body);
  else {
    const encoded = body.slice(body.lastIndexOf("\n\n") + 1);
    const der = Buffer.from(encoded, "base64");
    const others = inputs.map((input) => Buffer.from(input.toString("latin1"), "base64"));
    const mutated = mutateDer(der, { ...context, inputs: [der, ...others.slice(0, 3)] });
    if (mutated === undefined) return undefined;
    const lines = mutated.toString("base64").replace(/.{64}/g, "$&\n");
    changed = write(label, `${body.slice(0, body.length - encoded.length)}${lines}\n`);
  }
  const end = block.index + whole.length;
  return Buffer.from(`${text.slice(0, block.index)}${changed}${text.slice(end)}`, "latin1");
}

const LABELS = [
  ...["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY"],
  ...["PUBLIC KEY", "RSA PUBLIC KEY", "CERTIFICATE", "X509 CERTIFICATE", "EC PARAMETERS"],
  ...["PGP PRIVATE KEY BLOCK", "OPENSSH PRIVATE KEY", "PKCS7", ""],
];
