import type { Server } from "node:http";

/** The Content-Security-Policy of the page. */
export const POLICY: string;

/** Returns a server of the page that was built into a directory. */
export function createPageServer(directory: string): Server;
