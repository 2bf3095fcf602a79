#include "cli/generate/shares.h"

#include <string.h>

const struct state_share state_shares[STATES] = {
    {"SP", REGION_SE, 41.98, 59.7, "sao paulo", "01001", -23.55, -46.63},
    {"RJ", REGION_SE, 12.92, 5.5, "rio de janeiro", "20010", -22.91, -43.20},
    {"MG", REGION_SE, 11.70, 7.9, "belo horizonte", "30110", -19.92, -43.94},
    {"RS", REGION_S, 5.50, 4.2, "porto alegre", "90010", -30.03, -51.23},
    {"PR", REGION_S, 5.07, 11.3, "curitiba", "80010", -25.43, -49.27},
    {"SC", REGION_S, 3.66, 6.1, "florianopolis", "88010", -27.60, -48.55},
    {"BA", REGION_NE, 3.40, .6, "salvador", "40010", -12.97, -38.50},
    {"DF", REGION_CO, 2.15, 1.0, "brasilia", "70040", -15.79, -47.88},
    {"ES", REGION_SE, 2.04, .7, "vitoria", "29010", -20.32, -40.34},
    {"GO", REGION_CO, 2.03, 1.3, "goiania", "74003", -16.69, -49.26},
    {"PE", REGION_NE, 1.66, .25, "recife", "50010", -8.05, -34.88},
    {"CE", REGION_NE, 1.34, .4, "fortaleza", "60010", -3.73, -38.52},
    {"PA", REGION_N, .98, .03, "belem", "66010", -1.46, -48.49},
    {"MT", REGION_CO, .91, .13, "cuiaba", "78005", -15.60, -56.10},
    {"MA", REGION_NE, .75, .03, "sao luis", "65010", -2.53, -44.30},
    {"MS", REGION_CO, .72, .16, "campo grande", "79002", -20.45, -54.61},
    {"PB", REGION_NE, .54, .19, "joao pessoa", "58010", -7.12, -34.85},
    {"PI", REGION_NE, .50, .03, "teresina", "64000", -5.09, -42.80},
    {"RN", REGION_NE, .49, .16, "natal", "59010", -5.79, -35.20},
    {"AL", REGION_NE, .42, 0, "maceio", "57020", -9.66, -35.73},
    {"SE", REGION_NE, .35, .06, "aracaju", "49010", -10.91, -37.07},
    {"TO", REGION_N, .28, 0, "palmas", "77001", -10.18, -48.33},
    {"RO", REGION_N, .25, .06, "porto velho", "76801", -8.76, -63.90},
    {"AM", REGION_N, .15, .03, "manaus", "69005", -3.12, -60.02},
    {"AC", REGION_N, .08, .03, "rio branco", "69900", -9.97, -67.81},
    {"AP", REGION_N, .07, 0, "macapa", "68900", .03, -51.07},
    {"RR", REGION_N, .05, 0, "boa vista", "69301", 2.82, -60.67},
};

const struct category_share category_shares[CATEGORIES] = {
    {"cama_mesa_banho", 9.87, 4.24, .72, 1250},
    {"beleza_saude", 8.58, 4.37, .92, 431},
    {"esporte_lazer", 7.67, 4.43, .88, 686},
    {"moveis_decoracao", 7.40, 4.22, .74, 1250},
    {"informatica_acessorios", 6.95, 4.33, .88, 285},
    {"utilidades_domesticas", 6.18, 4.06, .87, 1225},
    {"relogios_presentes", 5.32, 4.91, .90, 335},
    {"telefonia", 4.03, 3.64, .99, 225},
    {"ferramentas_jardim", 3.86, 4.36, .78, 1650},
    {"automotivo", 3.76, 4.39, 1.19, 921},
    {"brinquedos", 3.65, 4.44, .77, 850},
    {"cool_stuff", 3.37, 4.76, .88, 1500},
    {"perfumaria", 3.04, 4.33, .92, 400},
    {"bebes", 2.72, 4.50, 1.02, 725},
    {"eletronicos", 2.46, 3.44, 1.00, 175},
    {"papelaria", 2.23, 4.28, .65, 1350},
    {"fashion_bolsas_e_acessorios", 1.80, 3.98, .78, 200},
    {"pet_shop", 1.73, 4.27, .82, 987},
    {"moveis_escritorio", 1.50, 5.01, .48, 11880},
    {NULL, 1.42, 4.19, .97, 650},
    {"consoles_games", 1.01, 4.60, 1.16, 300},
    {"malas_acessorios", .97, 4.71, .63, 1300},
    {"pcs", .18, 6.82, .60, 5000},
    /* the others share what is left and have the parameters of the whole */
    {"construcao_ferramentas_construcao", 3.0, 4.32, .935, 700},
    {"eletrodomesticos", 2.5, 4.32, .935, 700},
    {"instrumentos_musicais", 1.9, 4.32, .935, 700},
    {"livros_interesse_geral", 1.6, 4.32, .935, 700},
    {"alimentos", 1.3, 4.32, .935, 700},
};

enum { CATEGORY_OTHER = 23 };

size_t state_find(const char *code)
{
    for (size_t i = 0; i < STATES; i++)
        if (strcmp(state_shares[i].code, code) == 0) return i;
    return 0;
}

size_t category_find(const char *name)
{
    for (size_t i = 0; i < CATEGORIES; i++) {
        const char *known = category_shares[i].name;
        if (name && known ? strcmp(name, known) == 0 : !name && !known) return i;
    }
    return CATEGORY_OTHER;
}

/* Orders of the whole set. */
const double end_shares[ENDS] = {
    [END_DELIVERED] = 96478, [END_SHIPPED] = 1107,   [END_CANCELED] = 625, [END_UNAVAILABLE] = 609,
    [END_INVOICED] = 314,    [END_PROCESSING] = 301, [END_CREATED] = 5,    [END_APPROVED] = 2};
const double cancel_shares[CANCEL_STAGES] = {141, 409, 69, 6};

const double item_shares[ITEMS_MOST] = {90.07, 7.62, 1.34, .51, .21, .20, .04, .02};
const double pay_shares[PAY_WAYS] = {74.7, 19.9, 2.3, 1.6, 1.5};

const double instalment_shares[INSTALMENT_VALUES][INSTALMENT_GROUPS] = {
    {61, 28, 11, 0, 0}, {42, 31, 22, 6, 0}, {21, 39, 23, 8, 8}, {14, 25, 30, 15, 16}, {8, 12, 24, 25, 31},
};

const double score_by_delay[DELAYS][5] = {
    {6.6, 2.6, 7.5, 19.6, 63.7},   {7.7, 2.6, 10.0, 21.4, 58.3}, {10.8, 4.1, 8.1, 28.4, 48.6},
    {26.7, 6.9, 10.9, 22.8, 32.7}, {60.9, 12.6, 8.0, 6.9, 11.5}, {67.1, 13.9, 13.9, 2.5, 2.5},
    {76.6, 7.8, 5.2, 2.6, 7.8},
};

const double score_by_end[ENDS][5] = {
    [END_DELIVERED] = {6.6, 2.6, 7.5, 19.6, 63.7},
    [END_SHIPPED] = {62, 8, 11, 8, 12},
    [END_CANCELED] = {69, 7, 8, 4, 11},
    [END_UNAVAILABLE] = {78, 7, 6, 3, 6},
    [END_INVOICED] = {74, 8, 5, 5, 8},
    [END_PROCESSING] = {86, 6, 3, 2, 2},
    [END_CREATED] = {86, 6, 3, 2, 2},
    [END_APPROVED] = {86, 6, 3, 2, 2},
};

const double month_factor[12] = {1.1, 1.4, 1.25, .95, .95, .85, .8, .65, 1, 1, 1.15, 1.35};
