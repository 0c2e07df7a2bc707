/**
 * Which shard a key belongs to. Every writer and every reader of a sharded thing computes it with this one function, so
 * that adapters written in different years and languages agree.
 *
 * FNV-1a, 32 bits, over the UTF-8 bytes of the key (Fowler, Noll, Vo; offset 0x811c9dc5, prime 0x01000193), with the high
 * half folded into the low one, because the low bits of FNV alone depend only on the low bits of the input. The function is
 * part of the wire format: changing it would send a key's messages through two shards at once.
 *
 * It is not a cryptographic hash: whoever chooses keys can choose the shard.
 */

/** The shard of `key`, 0 to `shards` − 1. `shards` is a positive whole number. */
export const of = (key: string, shards: number): number => {
  const hash = fnv1a(key);
  return ((hash ^ (hash >>> 16)) >>> 0) % shards;
};

/** 32-bit FNV-1a of the UTF-8 bytes of `text`, as an unsigned number. A lone surrogate counts as U+FFFD, as encoders do. */
export const fnv1a = (text: string): number => {
  let hash = OFFSET;
  for (const character of text.toWellFormed()) {
    const point = character.codePointAt(0) ?? 0;
    if (point < 0x80) {
      hash = mix(hash, point);
    } else if (point < 0x800) {
      hash = mix(hash, 0xc0 | (point >> 6));
      hash = mix(hash, 0x80 | (point & 0x3f));
    } else if (point < 0x10000) {
      hash = mix(hash, 0xe0 | (point >> 12));
      hash = mix(hash, 0x80 | ((point >> 6) & 0x3f));
      hash = mix(hash, 0x80 | (point & 0x3f));
    } else {
      hash = mix(hash, 0xf0 | (point >> 18));
      hash = mix(hash, 0x80 | ((point >> 12) & 0x3f));
      hash = mix(hash, 0x80 | ((point >> 6) & 0x3f));
      hash = mix(hash, 0x80 | (point & 0x3f));
    }
  }
  return hash >>> 0;
};

const OFFSET = 0x811c9dc5;
const PRIME = 0x01000193;

const mix = (hash: number, byte: number): number => Math.imul(hash ^ byte, PRIME);
