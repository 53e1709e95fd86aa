/* SPDX-License-Identifier: Apache-2.0
 *
 * CRC-32C (Castagnoli, reflected polynomial 0x82F63B78): SSE4.2 where the processor has it, else
 * eight tables that take eight bytes a step. Both give the same number
 * (tests/unit/data/test_crc32c.c).
 *
 * The tables are filled before main(), so no thread ever sees them half made.
 */
#include "data/data_int.h"
#include "data/row.h"

static uint32_t tables[8][256];

__attribute__((constructor)) static void fill_tables(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (crc & 1 ? 0x82F63B78u : 0);
        tables[0][i] = crc;
    }
    for (int t = 1; t < 8; t++) {
        for (uint32_t i = 0; i < 256; i++)
            tables[t][i] = (tables[t - 1][i] >> 8) ^ tables[0][tables[t - 1][i] & 0xFF];
    }
}

static uint32_t little_endian_32(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

uint32_t data__crc32c_tables(uint32_t crc, Slice bytes)
{
    const unsigned char *p = (const unsigned char *)bytes.data;
    size_t left = bytes.size;
    crc = ~crc;
    for (; left >= 8; left -= 8, p += 8) {
        uint32_t low = crc ^ little_endian_32(p), high = little_endian_32(p + 4);
        crc = tables[7][low & 0xFF] ^ tables[6][low >> 8 & 0xFF] ^ tables[5][low >> 16 & 0xFF] ^
              tables[4][low >> 24] ^ tables[3][high & 0xFF] ^ tables[2][high >> 8 & 0xFF] ^
              tables[1][high >> 16 & 0xFF] ^ tables[0][high >> 24];
    }
    for (; left > 0; left--, p++)
        crc = (crc >> 8) ^ tables[0][(crc ^ *p) & 0xFF];
    return ~crc;
}

#ifdef __x86_64__

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, Slice bytes)
{
    const unsigned char *p = (const unsigned char *)bytes.data;
    size_t left = bytes.size;
    uint64_t state = (uint32_t)~crc;
    for (; left >= 8; left -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        state = __builtin_ia32_crc32di(state, word);
    }
    uint32_t rest = (uint32_t)state;
    for (; left > 0; left--, p++)
        rest = __builtin_ia32_crc32qi(rest, *p);
    return ~rest;
}

uint32_t crc32c(uint32_t crc, Slice bytes)
{
    if (__builtin_cpu_supports("sse4.2"))
        return crc32c_sse42(crc, bytes);
    return data__crc32c_tables(crc, bytes);
}

#else

uint32_t crc32c(uint32_t crc, Slice bytes)
{
    return data__crc32c_tables(crc, bytes);
}

#endif
