/* SPDX-License-Identifier: Apache-2.0
 *
 * Bearer tokens from arbitrary bytes. What is not signed must be refused; what is signed must not
 * crash the parser, and what passes must have claims that the rest can rely on.
 * Input: a first byte 'r' and a raw token, or anything else and `header NUL claims`, which are then
 * signed.
 */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

#include "auth/token.h"
#include "base/buffer.h"
#include "base/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char secret[] = "0123456789abcdef0123456789abcdef";

static void add_base64url(Buffer *out, const void *data, size_t size)
{
    unsigned char *text = x_new_bytes(size * 2 + 8);
    int n = EVP_EncodeBlock(text, data, (int)size);
    for (int i = 0; i < n && text[i] != '='; i++)
        buffer_add_char(out, text[i] == '+' ? '-' : text[i] == '/' ? '_' : (char)text[i]);
    free(text);
}

static void sign(Buffer *token, const uint8_t *data, size_t size)
{
    const uint8_t *end = memchr(data, 0, size);
    size_t header_size = end ? (size_t)(end - data) : size;
    size_t claims_size = end ? size - header_size - 1 : 0;
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned mac_size = 0;
    add_base64url(token, data, header_size);
    buffer_add_char(token, '.');
    add_base64url(token, end ? end + 1 : data, claims_size);
    must(HMAC(EVP_sha256(), secret, sizeof secret - 1, (const unsigned char *)token->data,
              token->size, mac, &mac_size));
    buffer_add_char(token, '.');
    add_base64url(token, mac, mac_size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 64 * 1024)
        return 0;
    TokenKey *key = token_key_new(SLICE(secret));
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(buffer_done) Buffer token = {0};
    if (data[0] == 'r')
        buffer_add(&token, data + 1, size - 1);
    else
        sign(&token, data + 1, size - 1);
    for (TokenType want = TOKEN_ACCESS; want <= TOKEN_REFRESH; want++) {
        TokenClaims claims = {0};
        Error e = {0};
        Code code = token_verify(key, buffer_slice(&token), want, arena, &claims, &e);
        if (code == OK) {
            must(claims.user_id.size > 0);
            must(claims.user_id.size <= USER_ID_BYTES_MAX);
            must(slice_is_utf8(claims.user_id));
            must(claims.role != ROLE_ANONYMOUS);
            must(claims.type == want);
        } else {
            must(code == E_INVALID_CREDENTIALS || code == E_TOKEN_EXPIRED);
        }
    }
    token_key_free(key);
    return 0;
}
