/* SPDX-License-Identifier: Apache-2.0
 *
 * Text to tokens, one at a time. A problem in the text becomes a TOKEN_ERROR, which is reported
 * when
 * the grammar gets there, so that an earlier mistake is named first.
 *
 * I1: token.start <= token.end <= text.size, and both only grow.
 */
#include <stdio.h>

#include "sql/sql_int.h"

static const struct {
    const char *text;
    uint8_t size, use;
} keywords[KW_COUNT] = {
    [KW_NONE] = {"", 0, FREE},
#define KEYWORD(word, use) [KW_##word] = {#word, sizeof(#word) - 1, use},
#include "sql/keywords.def"
#undef KEYWORD
};

enum { KEYWORD_BYTES_MAX = 24 };

Keyword sql__keyword(Slice word)
{
    char upper[KEYWORD_BYTES_MAX];
    if (word.size < 2 || word.size > sizeof(upper))
        return KW_NONE;
    for (size_t i = 0; i < word.size; i++) {
        char c = word.data[i];
        upper[i] = c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
    }
    int low = 1, high = KW_COUNT - 1;
    while (low <= high) {
        int middle = (low + high) / 2;
        Slice candidate = slice_of(keywords[middle].text, keywords[middle].size);
        int order = slice_compare(slice_of(upper, word.size), candidate);
        if (order == 0)
            return (Keyword)middle;
        if (order < 0)
            high = middle - 1;
        else
            low = middle + 1;
    }
    return KW_NONE;
}

const char *sql__keyword_text(Keyword keyword)
{
    return keywords[keyword].text;
}

KeywordUse sql__keyword_use(Keyword keyword)
{
    return (KeywordUse)keywords[keyword].use;
}

bool sql__is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80);
}

static bool is_word(char c)
{
    return is_word_start(c) || is_digit(c) || c == '$';
}

static char char_at(Slice text, size_t at)
{
    return at < text.size ? text.data[at] : '\0';
}

/* A doubled quote inside stands for one. */
static bool skip_quoted(Slice text, size_t *io_at)
{
    char quote = text.data[*io_at];
    size_t at = *io_at + 1;
    while (at < text.size) {
        const char *found = memchr(text.data + at, quote, text.size - at);
        if (!found)
            break;
        at = (size_t)(found - text.data) + 1;
        if (char_at(text, at) != quote) {
            *io_at = at;
            return true;
        }
        at++;
    }
    *io_at = text.size;
    return false;
}

static bool skip_comment(Slice text, size_t *io_at)
{
    bool is_block = text.data[*io_at] == '/';
    for (size_t at = *io_at + 2; at < text.size; at++) {
        if (!is_block && text.data[at] == '\n') {
            *io_at = at + 1;
            return true;
        }
        if (is_block && text.data[at] == '*' && char_at(text, at + 1) == '/') {
            *io_at = at + 2;
            return true;
        }
    }
    *io_at = text.size;
    return !is_block;
}

static bool at_comment(Slice text, size_t at)
{
    char c = char_at(text, at), next = char_at(text, at + 1);
    return (c == '-' && next == '-') || (c == '/' && next == '*');
}

bool sql__skip_opaque(Slice text, size_t *io_at, const char **out_problem)
{
    char c = char_at(text, *io_at);
    if (c == '\'' || c == '"' || c == '`') {
        *out_problem = "Unterminated quoted string in SQL batch";
        return skip_quoted(text, io_at);
    }
    *out_problem = "Unterminated block comment in SQL batch";
    return !at_comment(text, *io_at) || skip_comment(text, io_at);
}

static bool skip_blanks(Slice text, size_t *io_at)
{
    for (;;) {
        while (*io_at < text.size && sql__is_blank(text.data[*io_at]))
            (*io_at)++;
        if (!at_comment(text, *io_at))
            return true;
        size_t start = *io_at;
        if (!skip_comment(text, io_at)) {
            *io_at = start; /* the error points at the comment that does not end */
            return false;
        }
    }
}

static void problem(Token *token, const char *text)
{
    token->kind = TOKEN_ERROR;
    token->problem = text;
}

static Slice unquote(Arena *arena, Slice quoted)
{
    char quote = quoted.data[0];
    Slice inner = slice_of(quoted.data + 1, quoted.size - 2);
    if (!inner.size || !memchr(inner.data, quote, inner.size))
        return inner;
    char *copy = arena_alloc(arena, inner.size);
    size_t size = 0;
    for (size_t i = 0; i < inner.size; i++) {
        copy[size++] = inner.data[i];
        if (inner.data[i] == quote)
            i++;
    }
    return slice_of(copy, size);
}

static void lex_quoted(Parser *p, Token *token, size_t *io_at)
{
    char quote = p->text.data[*io_at];
    size_t start = *io_at;
    if (!skip_quoted(p->text, io_at)) {
        problem(token, quote == '\'' ? "Unterminated quoted string" : "Unterminated quoted name");
        return;
    }
    token->kind = quote == '\'' ? TOKEN_STRING : TOKEN_QUOTED;
    token->text = unquote(p->arena, slice_of(p->text.data + start, *io_at - start));
    if (token->kind == TOKEN_QUOTED && !token->text.size)
        problem(token, "A quoted name cannot be empty");
}

static void skip_digits(Slice text, size_t *io_at)
{
    while (is_digit(char_at(text, *io_at)))
        (*io_at)++;
}

static uint64_t saturated(Slice digits)
{
    uint64_t n = 0;
    for (size_t i = 0; i < digits.size; i++) {
        unsigned digit = (unsigned)(digits.data[i] - '0');
        if (n > (UINT64_MAX - digit) / 10)
            return UINT64_MAX;
        n = n * 10 + digit;
    }
    return n;
}

static void lex_number(Slice text, Token *token, size_t *io_at)
{
    size_t start = *io_at;
    token->kind = TOKEN_INTEGER;
    skip_digits(text, io_at);
    if (char_at(text, *io_at) == '.') {
        token->kind = TOKEN_NUMBER;
        (*io_at)++;
        skip_digits(text, io_at);
    }
    char c = char_at(text, *io_at);
    if (c == 'e' || c == 'E') {
        size_t digits = *io_at + 1;
        if (char_at(text, digits) == '+' || char_at(text, digits) == '-')
            digits++;
        if (is_digit(char_at(text, digits))) {
            token->kind = TOKEN_NUMBER;
            *io_at = digits;
            skip_digits(text, io_at);
        }
    }
    token->text = slice_of(text.data + start, *io_at - start);
    if (token->kind == TOKEN_INTEGER)
        token->number = saturated(token->text);
    if (is_word(char_at(text, *io_at)))
        problem(token, "A number cannot be followed by a letter");
}

static void lex_parameter(Slice text, Token *token, size_t *io_at)
{
    size_t start = ++*io_at;
    skip_digits(text, io_at);
    token->text = slice_of(text.data + start, *io_at - start);
    token->number = saturated(token->text);
    token->kind = TOKEN_PARAMETER;
    if (!token->text.size || is_word(char_at(text, *io_at)))
        problem(token, "A parameter is written as $ and a number");
    else if (token->number == 0)
        problem(token, "Parameters count from $1");
}

static void lex_word(Slice text, Token *token, size_t *io_at)
{
    size_t start = *io_at;
    while (is_word(char_at(text, *io_at)))
        (*io_at)++;
    token->kind = TOKEN_WORD;
    token->text = slice_of(text.data + start, *io_at - start);
    token->keyword = sql__keyword(token->text);
    if (token->text.size == 1 && char_at(text, *io_at) == '\'' &&
        strchr("eEbBxXnN", text.data[start]))
        problem(token,
                "Prefixed strings such as E'…' are not supported; a quote is doubled inside '…'");
}

static void lex_operator(Slice text, Token *token, size_t *io_at)
{
    static const struct {
        char text[4];
        TokenKind kind;
    } operators[] = {
        {"->>", TOKEN_ARROW_TEXT},
        {"->", TOKEN_ARROW},
        {"::", TOKEN_CAST},
        {"<=", TOKEN_LESS_EQUAL},
        {"<>", TOKEN_NOT_EQUAL},
        {"!=", TOKEN_NOT_EQUAL},
        {">=", TOKEN_GREATER_EQUAL},
        {"||", TOKEN_CONCAT},
        {"//", TOKEN_SLASH_SLASH},
        {"(", TOKEN_LEFT},
        {")", TOKEN_RIGHT},
        {",", TOKEN_COMMA},
        {".", TOKEN_DOT},
        {";", TOKEN_SEMICOLON},
        {":", TOKEN_COLON},
        {"=", TOKEN_EQUAL},
        {"<", TOKEN_LESS},
        {">", TOKEN_GREATER},
        {"+", TOKEN_PLUS},
        {"-", TOKEN_MINUS},
        {"*", TOKEN_STAR},
        {"/", TOKEN_SLASH},
        {"%", TOKEN_PERCENT},
    };
    Slice rest = slice_of(text.data + *io_at, text.size - *io_at);
    for (size_t i = 0; i < sizeof(operators) / sizeof(*operators); i++) {
        Slice candidate = slice_of_text(operators[i].text);
        if (!slice_starts_with(rest, candidate))
            continue;
        token->kind = operators[i].kind;
        token->text = slice_of(rest.data, candidate.size);
        *io_at += candidate.size;
        return;
    }
    token->text = slice_of(rest.data, 1);
    (*io_at)++;
    problem(token, rest.data[0] == '?' ? "Parameters are written $1, $2 …, not ?"
                                       : "Unexpected character");
}

static void lex(Parser *p, Token *token, size_t at)
{
    Slice text = p->text;
    *token = (Token){0};
    bool is_closed = skip_blanks(text, &at);
    token->start = (uint32_t)at;
    char c = char_at(text, at);
    if (!is_closed)
        problem(token, "Unterminated block comment");
    else if (at >= text.size)
        token->kind = TOKEN_END;
    else if (c == '\'' || c == '"' || c == '`')
        lex_quoted(p, token, &at);
    else if (is_word_start(c))
        lex_word(text, token, &at);
    else if (is_digit(c) || (c == '.' && is_digit(char_at(text, at + 1))))
        lex_number(text, token, &at);
    else if (c == '$')
        lex_parameter(text, token, &at);
    else
        lex_operator(text, token, &at);
    if (!is_closed)
        at = text.size;
    token->end = (uint32_t)at;
    must(token->start <= token->end && token->end <= text.size); /* I1 */
}

void sql__parser_init(Parser *p, Slice text, Arena *arena, Error *e)
{
    *p = (Parser){.text = text, .arena = arena, .e = e};
    lex(p, &p->token, 0);
    p->at = p->token.end;
}

void sql__advance(Parser *p)
{
    if (p->token.kind == TOKEN_END || p->token.kind == TOKEN_ERROR)
        return;
    p->previous_end = p->token.end;
    if (++p->tokens > SQL_TOKENS_MAX) {
        problem(&p->token, "The statement has too many words and signs");
        return;
    }
    lex(p, &p->token, p->at);
    p->at = p->token.end;
}

Token sql__peek_second(const Parser *p)
{
    Parser copy = *p;
    sql__advance(&copy);
    return copy.token;
}

Slice sql__raw_word(Parser *p)
{
    size_t start = p->token.start, at = start;
    while (at < p->text.size && !sql__is_blank(p->text.data[at]) &&
           !strchr("(),;'\"`", p->text.data[at]))
        at++;
    p->previous_end = (uint32_t)at;
    lex(p, &p->token, at);
    p->at = p->token.end;
    return slice_of(p->text.data + start, at - start);
}

void sql_place(Slice text, uint32_t offset, uint32_t *out_line, uint32_t *out_column)
{
    uint32_t line = 1, column = 1;
    for (size_t i = 0; i < offset && i < text.size; i++) {
        if (text.data[i] == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)text.data[i] & 0xC0) != 0x80) {
            column++; /* continuation bytes belong to the character before */
        }
    }
    *out_line = line;
    *out_column = column;
}
