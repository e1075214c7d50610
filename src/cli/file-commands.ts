import type { CommandForm } from "./other-commands.js";

/** The common parts of the commands that read the files in images. */
const READING = {
  usage: "[-k <key>...]",
  options: [
    ...(["key", "decryption-key", "key-servers"] as const),
    ...(["layer", "platform", "media-type", "min-size", "digest"] as const),
    ...(["require-encrypted", "require-recipients", "require-bound", "allow-unverified"] as const),
    ...(["verify-signature", "require-digest", "threads"] as const),
  ],
  texts: {
    key: "a private key that opens the image",
    platform: "read the files of this platform",
    quiet: "print no progress",
  },
  isReading: true,
} as const;

/** The commands that read the files in images. */
export const FILE_COMMANDS: Readonly<Record<"ls" | "cat" | "export", CommandForm>> = {
  ls: {
    takes: ["image", "[path]"],
    ...READING,
    options: [...READING.options, "long", "recursive"],
    summary: "list the files in an image",
    description:
      "Lists a directory of an image, by default the root directory, with the layers merged. Prints " +
      "nothing before every layer is verified.",
    examples: [
      "ocicrypt ls oci:app-enc:latest -k private.pem",
      "ocicrypt ls oci:app-enc:latest /etc -l -k private.pem",
      "ocicrypt ls oci:app-enc:latest -R --json -k private.pem",
    ],
  },
  cat: {
    takes: ["image", "path..."],
    ...READING,
    summary: "print files of an image",
    description:
      "Prints files of an image one after another, with the layers merged. Follows symbolic links " +
      "within the image. Prints nothing before every layer is verified.",
    examples: [
      "ocicrypt cat oci:app-enc:latest /etc/os-release -k private.pem",
      "ocicrypt cat docker://registry.example/app:1 /var/lib/dpkg/status -k scanner.pem",
    ],
  },
  export: {
    takes: ["image"],
    ...READING,
    summary: "write all files of an image as one tar archive",
    description:
      "Writes the files of an image as a tar archive to standard output, with the layers merged. " +
      "Writes nothing before every layer is verified.",
    examples: [
      "ocicrypt export oci:app-enc:latest -k private.pem > root.tar",
      "ocicrypt export oci:app-enc:latest -k private.pem | tar -t",
    ],
  },
};
