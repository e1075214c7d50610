import { createPrivateKey, createPublicKey } from "node:crypto";
import { calculateJwkThumbprint } from "jose";
import { expect, it } from "vitest";
import { thumbprint } from "../../src/keys/asymmetric-key.js";
import { vectorFile } from "../support/vectors.js";

/** RFC 7638 section 3.1. */
const RFC_KEY = {
  kty: "RSA",
  n: "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
  e: "AQAB",
  alg: "RS256",
  kid: "2011-04-29",
};

it("is that of RFC 7638", () => {
  const key = createPublicKey({ key: RFC_KEY, format: "jwk" });
  expect(thumbprint(key)).toBe("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
});

it.each(["rsa-2048", "rsa-4096", "ec-p256", "ec-p384", "ec-p521"])(
  "is the same for both halves of %s, and equals jose's",
  async (name) => {
    const jwk = JSON.parse(vectorFile(`keys/${name}.pub.jwk`).toString()) as object;
    const expected = await calculateJwkThumbprint(jwk);
    const pem = vectorFile(`keys/${name}.pem`);
    expect(thumbprint(createPublicKey(vectorFile(`keys/${name}.pub.pem`)))).toBe(expected);
    expect(thumbprint(createPrivateKey(pem))).toBe(expected);
  },
);
