import { type AwsKmsDouble, awsKmsDouble } from "./aws-kms-double.js";
import { type BarbicanDouble, barbicanDouble } from "./barbican-double.js";
import { environmentOf } from "./barbican-suite.js";
import { type KeyProtectDouble, keyProtectDouble } from "./key-protect-double.js";
import { type VaultDouble, vaultDouble } from "./vault-double.js";

export interface KeyServerDoubles {
  vault: VaultDouble;
  barbican: BarbicanDouble;
  keyProtect: KeyProtectDouble;
  awsKms: AwsKmsDouble;
  /** The id of Key Protect's root key, whose alias is `app-key`. */
  rootKey: string;
  /** The environment in which commands find the servers. */
  env: Record<string, string>;
}

/** Starts a double of each key server that commands find by their environment, until `stopServers`. */
export async function keyServerDoubles(): Promise<KeyServerDoubles> {
  const [vault, barbican, keyProtect, awsKms] = await Promise.all([
    vaultDouble(true),
    barbicanDouble(true),
    keyProtectDouble(true),
    awsKmsDouble(true),
  ]);
  const rootKey = keyProtect.makeKey({ alias: "app-key" });
  awsKms.makeKey("alias/app");
  const env = {
    ...environmentOf(barbican, "alice"),
    ...keyProtectEnvironment(keyProtect),
    ...{ VAULT_ADDR: vault.url, VAULT_TOKEN: vault.rootToken },
    ...{ AWS_ENDPOINT_URL_KMS: awsKms.url, AWS_REGION: "eu-west-2" },
    ...{ AWS_ACCESS_KEY_ID: "AKIAEXAMPLE", AWS_SECRET_ACCESS_KEY: "example" },
    // The SDK announces the versions of Node.js that it will support.
    NODE_NO_WARNINGS: "1",
  };
  return { vault, barbican, keyProtect, awsKms, rootKey, env };
}

/** The environment in which IBM's tools find a double of Key Protect. */
export function keyProtectEnvironment(double: KeyProtectDouble): Record<string, string> {
  const { url, instance, apiKey, iam } = double;
  return {
    ...{ KP_TARGET_ADDR: url, KP_INSTANCE_ID: instance },
    ...{ IBMCLOUD_API_KEY: apiKey, IBMCLOUD_IAM_API_ENDPOINT: iam.url },
  };
}
