#include "cli/generate/words.h"

#include "net/pg.h"

enum { MESSAGE_CHARS = 208 };

static const char *const bad[] = {
    "Não recebi o produto",
    "Produto veio com defeito",
    "O prazo de entrega não foi cumprido",
    "Recebi o produto errado",
    "Comprei dois e só veio um",
    "Já entrei em contato e ninguém responde",
    "Péssimo atendimento, não recomendo",
    "A embalagem chegou aberta",
    "Quero meu dinheiro de volta",
    "O atraso foi muito grande",
    "Até agora nada da minha encomenda",
    "Faltou uma peça na caixa",
};
static const char *const middling[] = {
    "Produto bom, mas a entrega demorou",      "Veio um pouco diferente da foto",
    "Qualidade razoável pelo preço",           "Esperava mais do acabamento",
    "Chegou no prazo, porém a caixa amassada", "A cor não é igual à do anúncio",
};
static const char *const good[] = {
    "Muito bom, recomendo",
    "Chegou antes do prazo",
    "Produto excelente, ótima qualidade",
    "Adorei!",
    "Tudo certo com a entrega",
    "Super recomendo a loja",
    "Produto conforme o anúncio",
    "Entrega rápida e bem embalado",
    "Ótimo custo-benefício",
    "Minha mãe amou o presente",
    "Parabéns pela agilidade",
    "Nota 10 👏",
};
static const char *const bad_titles[] = {"Não recomendo", "Não recebi", "Péssimo", "Produto errado",
                                         "Atraso"};
static const char *const good_titles[] = {"Recomendo", "Excelente",       "Muito bom",
                                          "Ótimo",     "super recomendo", "10"};

#define COUNT(array) (uint32_t)(sizeof(array) / sizeof *(array))

static const char *phrase(struct random *r, int score)
{
    if (score <= 2) return bad[random_below(r, COUNT(bad))];
    if (score == 3) return middling[random_below(r, COUNT(middling))];
    return good[random_below(r, COUNT(good))];
}

static void put_message(struct buf *sql, struct random *r, int score)
{
    static const int usual[] = {97, 82, 77, 47, 44};
    struct buf text = {0};
    int wanted = (int)(usual[score - 1] * random_between(r, .4, 1.6));
    const char *joint = random_chance(r, .106) ? "\r\n" : ". ";
    do {
        const char *next = phrase(r, score);
        if (text.len + strlen(next) + 2 > MESSAGE_CHARS) break;
        if (text.len) buf_put_text(&text, joint);
        buf_put_text(&text, next);
    } while ((int)text.len < wanted);
    pg_put_text(sql, buf_slice(&text));
    buf_free(&text);
}

void words_put_review(struct buf *sql, struct random *r, int score)
{
    static const double titles[] = {.17, .14, .10, .09, .11}, messages[] = {.79, .69, .45, .30, .35};
    if (!random_chance(r, titles[score - 1]))
        buf_put_text(sql, "NULL");
    else
        pg_put_text(sql, slice_of(score <= 3 ? bad_titles[random_below(r, COUNT(bad_titles))]
                                             : good_titles[random_below(r, COUNT(good_titles))]));
    buf_put_text(sql, ", ");
    if (random_chance(r, messages[score - 1]))
        put_message(sql, r, score);
    else
        buf_put_text(sql, "NULL");
}
