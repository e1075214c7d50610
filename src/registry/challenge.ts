/** The authentication that a registry requests in `WWW-Authenticate`. */
export interface Challenge {
  /** The scheme in lower case. */
  scheme: string;
  /** The parameters by their names in lower case. */
  params: ReadonlyMap<string, string>;
}

const MAX_LENGTH = 8192;

// https://www.rfc-editor.org/rfc/rfc9110.html#section-5.6.2
const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const QUOTED = '"(?:[^"\\\\\\x00-\\x08\\x0a-\\x1f\\x7f]|\\\\[\\t\\x20-\\x7e])*"';
const PARAM = new RegExp(`(${TOKEN})[ \\t]*=[ \\t]*(${TOKEN}|${QUOTED})[ \\t]*(?=,|$)`, "y");
const SCHEME = new RegExp(`(${TOKEN})(?:[ \\t]+|(?=,|$))`, "y");
// https://www.rfc-editor.org/rfc/rfc9110.html#section-11.2
const TOKEN68 = /[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|$)/y;
const COMMAS = /[ \t,]*/y;

/**
 * Parses the challenges of one or more joined `WWW-Authenticate` headers
 * (https://www.rfc-editor.org/rfc/rfc9110.html#section-11.6.1).
 *
 * @returns `undefined` if the header is not well-formed, or names a parameter twice
 */
export function parseChallenges(header: string): Challenge[] | undefined {
  if (header.length > MAX_LENGTH) return undefined;
  let position = 0;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = position;
    const match = pattern.exec(header);
    if (match !== null) position = pattern.lastIndex;
    return match;
  };

  const challenges: Challenge[] = [];
  take(COMMAS);
  while (position < header.length) {
    const scheme = take(SCHEME)?.[1]?.toLowerCase();
    if (scheme === undefined) return undefined;
    const params = new Map<string, string>();
    // Parameters continue after commas until a word that is not a parameter: the next scheme.
    for (let param = take(PARAM); param !== null; param = take(PARAM)) {
      const [, name = "", value = ""] = param;
      if (params.has(name.toLowerCase())) return undefined;
      params.set(name.toLowerCase(), unquote(value));
      take(COMMAS);
    }
    if (params.size === 0) take(TOKEN68);
    challenges.push({ scheme, params });
    const next = header[position];
    if (params.size === 0 && next !== "," && next !== undefined) return undefined;
    take(COMMAS);
  }
  return challenges;
}

function unquote(value: string): string {
  return value.startsWith('"') ? value.slice(1, -1).replace(/\\(.)/g, "$1") : value;
}
