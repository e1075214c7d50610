import { isOcicryptError } from "../errors.js";
import { abortable } from "../io/abort.js";

/** A token of a key server, which is sent instead of the credentials. */
export interface Token {
  value: string;
  /** The milliseconds for which it is valid; `Infinity` if it does not expire. */
  lifetime: number;
}

export interface Tokens {
  /**
   * Sends a request with a token. If the server rejects a token that was issued for an earlier
   * request, which may have been revoked, the request is sent once more with a new one.
   */
  use<T>(send: (token: string) => Promise<T>, signal: AbortSignal | undefined): Promise<T>;
}

/** A token is renewed this many milliseconds early, so that it does not expire on the way. */
const EARLY = 60_000;

/**
 * Keeps the token of a login until it expires.
 *
 * @param login gets a new token, within its own time limit
 */
export function cachedTokens(login: () => Promise<Token>, now: () => number = Date.now): Tokens {
  let current: { token: Promise<Token>; expires: number } | undefined;

  function get(): Promise<Token> {
    if (current !== undefined && now() < current.expires) return current.token;
    const made = { token: login(), expires: Infinity };
    made.token.then(
      ({ lifetime }) => {
        made.expires = now() + Math.max(lifetime - EARLY, lifetime / 2);
      },
      () => {
        drop(made.token);
      },
    );
    current = made;
    return made.token;
  }

  function drop(token: Promise<Token>): void {
    if (current?.token === token) current = undefined;
  }

  return {
    async use(send, signal) {
      const known = current?.token;
      const token = get();
      const { value } = await abortable(token, signal);
      try {
        return await send(value);
      } catch (error) {
        if (token !== known || !isOcicryptError(error, "KEY_SERVER_UNAUTHORIZED")) throw error;
        drop(token);
        return send((await abortable(get(), signal)).value);
      }
    },
  };
}

/** Tokens that cannot be renewed: the caller has only this one. */
export function fixedToken(value: string): Tokens {
  return { use: (send) => send(value) };
}

/** Whether a text can be sent in a header, as a token is. */
export function isHeader(text: string): boolean {
  return /^[!-~]{1,10000}$/.test(text);
}
