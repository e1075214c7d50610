import { mutateArchive } from "./forms/archive.js";
import { mutateBytes } from "./forms/bytes.js";
import { mutateDer } from "./forms/der.js";
import { mutateJson } from "./forms/json.js";
import { mutatePem } from "./forms/pem.js";

const STRUCTURED = {
  archive: mutateArchive,
  der: mutateDer,
  json: mutateJson,
  pem: mutatePem,
};

/** No parser here reads more before it refuses the rest; larger inputs only cost time. */
const MAX_SIZE = 256 * 1024;

/**
 * A changed copy of one input: mostly changed within its structure, so that it passes the first
 * checks of a parser, and otherwise in its bytes.
 *
 * @param inputs others of the same target, from which parts are taken
 */
export function mutate(random, input, { form, dictionary = [] }, inputs) {
  let output = input;
  const rounds = 1 + random.below(random.chance(0.2) ? 8 : 3);
  const context = { random, dictionary, inputs };
  for (let i = 0; i < rounds; i++) {
    const structured = STRUCTURED[form];
    const changed =
      structured !== undefined && random.chance(0.75) ? structured(output, context) : undefined;
    output = (changed ?? mutateBytes(output, context)).subarray(0, MAX_SIZE);
  }
  return output;
}
