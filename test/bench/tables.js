// The figures as Markdown and as a picture.

/** The rows of commands as a table; see `summary`. */
export function commandTable(rows) {
  const number = (value) => value?.toFixed(2) ?? "";
  const time = (taken) => (taken && `${number(taken.wall)} s (${number(taken.cpu)} s)`) ?? "";
  const memory = (taken) => (taken && `${taken.memory.toFixed(0)} MiB`) ?? "";
  const lines = rows.map(({ image, operation, ours, go, limit, skopeo }) => [
    ...[image, operation, time(ours), time(go), time(limit)],
    ...[go?.ratio, go?.cpuRatio, limit?.ratio, skopeo?.ratio].map(number),
    ...[memory(ours), memory(go)],
  ]);
  const head = [
    ...["image", "operation", "this command", "Go's copy library", "the machine's limit"],
    ...["ratio to Go", "ratio of processor time", "ratio to the limit", "ratio to skopeo"],
    ...["memory", "memory of Go"],
  ];
  return table(head, lines);
}

/** A Markdown table of texts. */
export function table(head, lines) {
  const rule = head.map(() => "---");
  return [head, rule, ...lines].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

/**
 * A bar for each row: the processor time of this command, where Go's copy library takes 1. Other work
 * on the machine changes it less than the wall time.
 */
export function commandChart(rows, caption) {
  const known = rows.filter(({ go }) => go !== undefined);
  const [left, unit, height] = [250, 200, 24];
  const text = (x, y, content, more = "") =>
    `<text x="${x}" y="${y}" ${more}>${content.replaceAll("&", "&amp;").replaceAll("<", "&lt;")}</text>`;
  const bars = known.flatMap(({ image, operation, go }, i) => {
    const y = 56 + i * height;
    const color = operation === "encrypt" ? "#2f6fb0" : "#7a9a3a";
    const width = Math.min(go.cpuRatio, 3.4) * unit;
    return [
      text(left - 8, y + 13, `${operation}, ${image}`, 'text-anchor="end"'),
      `<rect x="${left}" y="${y}" width="${width.toFixed(0)}" height="17" fill="${color}"/>`,
      text(left + width + 6, y + 13, go.cpuRatio.toFixed(2)),
    ];
  });
  const bottom = 56 + known.length * height;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="1000" height="${bottom + 40}" font-family="sans-serif" font-size="13">`,
    '<rect width="100%" height="100%" fill="#ffffff"/>',
    text(
      12,
      24,
      "Processor time of the command, where Go's copy library takes 1 (shorter is better)",
      'font-size="15"',
    ),
    ...bars,
    `<path d="M${left + unit} 46 V${bottom + 4}" stroke="#333333" stroke-dasharray="4 3"/>`,
    text(left + unit, 42, "1", 'text-anchor="middle"'),
    text(12, bottom + 28, caption, 'fill="#555555"'),
    "</svg>\n",
  ].join("\n");
}
