export function checkSite(site: string, existsElsewhere: (url: string) => boolean): string[];
