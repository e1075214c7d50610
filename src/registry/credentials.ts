/** What opens a registry. */
export type Credentials = PasswordCredentials | TokenCredentials;

export interface PasswordCredentials {
  username: string;
  password: string;
}

/** An OAuth 2 refresh token, as `docker login` can store it. */
export interface TokenCredentials {
  identityToken: string;
}

/** What credentials are asked for; exactly this host. */
export interface CredentialRequest {
  host: string;
  repository: string;
}

/** Finds credentials; without any, what the registry lets everybody do is tried. */
export type CredentialSource = (request: CredentialRequest) => Promise<Credentials | undefined>;
