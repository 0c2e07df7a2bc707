import { defineConfig } from "tsup";

/** JavaScript only: declarations come from `tsc -b tsconfig.build.json`. Run inside a package by `scripts/run.mjs build`. */
export default defineConfig({
  format: ["esm"],
  target: "es2024",
  platform: "node",
  sourcemap: true,
  splitting: true,
  treeshake: false,
  clean: false,
  dts: false,
  outDir: "dist",
});
