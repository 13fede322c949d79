"""Words for the generators: names, cities, goods. All combinations are invented."""

from __future__ import annotations

FIRST: dict[str, dict[str, tuple[str, ...]]] = {
    "RU": {
        "female": ("Анна", "Мария", "Ольга", "Елена", "Ирина", "Дарья", "Юлия", "Ксения", "Вера"),
        "male": ("Иван", "Пётр", "Алексей", "Сергей", "Олег", "Глеб", "Роман", "Егор", "Фёдор"),
    },
    "ES": {
        "female": ("Lucía", "Carmen", "Sofía", "Inés", "Elena", "Noelia", "Begoña", "Ximena"),
        "male": ("Álvaro", "Íñigo", "Pablo", "Andrés", "Jesús", "Raúl", "Tomás", "Julián"),
    },
    "EN": {
        "female": ("Julia", "Claudia", "Flavia", "Livia", "Aurelia", "Marina", "Silvia"),
        "male": ("Marcus", "Lucius", "Titus", "Felix", "Maximus", "Leo", "Victor"),
    },
}
LAST = {
    "RU": ("Березин", "Озёров", "Полянский", "Лесной", "Снегов", "Рябинин", "Ветров", "Камышев"),
    "ES": ("Ríos", "del Prado", "Fuentes", "Peña", "Muñiz", "de la Vega", "Ibáñez", "Olmo"),
    "EN": ("Silva", "Montanus", "Verus", "Rivers", "Meadows", "Arbor", "Stone", "Fields"),
}
PATRONYMICS = {
    "female": ("Ивановна", "Олеговна", "Петровна", "Сергеевна", "Романовна"),
    "male": ("Иванович", "Олегович", "Петрович", "Сергеевич", "Романович"),
}
# (city, region, city id, region id, share of orders)
CITIES = {
    "RU": (
        ("Москва", "Москва город", 4995, 55, 9),
        ("Санкт-Петербург", "Санкт-Петербург", 4962, 64, 5),
        ("Казань", "Татарстан Республика", 2284, 33, 2),
        ("Ростов-на-Дону", "Ростовская область", 4298, 73, 2),
        ("Екатеринбург", "Свердловская область", 1913, 77, 2),
        ("Владивосток", "Приморский край", 1050, 69, 1),
    ),
    "ES": (
        ("Madrid", "Comunidad de Madrid", 12011, 201, 8), ("Barcelona", "Cataluña", 12044, 209, 6),
        ("A Coruña", "Galicia", 12107, 212, 2), ("Málaga", "Andalucía", 12090, 203, 3),
        ("Ciudad de México", "CDMX", 13001, 301, 4), ("Mérida", "Yucatán", 13031, 331, 1),
    ),
    "EN": (
        ("Roma", "Lazio", 14001, 401, 5), ("Lisboa", "Lisboa", 14101, 411, 4),
        ("London", "Greater London", 14201, 421, 6),
        ("Dublin", "Leinster", 14301, 431, 2),
    ),
}  # fmt: skip
STREETS = {
    "RU": ("Садовая", "Лесная", "Школьная", "Новая", "50-летия Октября", "Речная"),
    "ES": ("Calle Mayor", "Avenida del Mar", "Calle Ñandú", "Paseo de la Luz", "Calle del Olmo"),
    "EN": ("High Street", "Garden Road", "Via Lunga", "Harbour Lane", "Mill Street"),
}
COMPANIES = {
    "RU": ("ООО «Ромашка»", "ООО «Северный ветер»", "АО «Берёзка»", "ИП Полянский"),
    "ES": ("Olivares del Sur S.L.", "Talleres Ñ S.A.", "Hostelería La Luz S.L."),
    "EN": ("Aurora Trading Ltd", "Blue Harbour LLC", "Mill & Sons Ltd"),
}
# (group, noun, mean price in euros, months in which it sells)
GOODS = {
    "RU": (
        ("Обувь", "Кроссовки", 62, ()), ("Обувь", "Ботинки зимние", 95, (10, 11, 12, 1)),
        ("Одежда", "Футболка", 18, (5, 6, 7, 8)), ("Одежда", "Куртка", 110, (9, 10, 11, 3)),
        ("Одежда", "Платье «Лето»", 44, (5, 6, 7)), ("Аксессуары", "Шарф", 15, (10, 11, 12, 1, 2)),
        ("Аксессуары", "Рюкзак", 48, (8, 9)), ("Дом", "Плед", 29, (10, 11, 12)),
        ("Дом", "Кружка", 9, ()),
        ("Подарки", "Набор подарочный", 35, (12, 2, 3)),
    ),
    "ES": (
        ("Calzado", "Zapatillas", 62, ()), ("Calzado", "Botas de invierno", 95, (10, 11, 12, 1)),
        ("Ropa", "Camiseta", 18, (5, 6, 7, 8)), ("Ropa", "Chaqueta", 110, (9, 10, 11, 3)),
        ("Ropa", "Vestido «Verano»", 44, (5, 6, 7)), ("Accesorios", "Bufanda", 15, (10, 11, 12, 1)),
        ("Accesorios", "Mochila para niños", 48, (8, 9)), ("Hogar", "Manta", 29, (10, 11, 12)),
        ("Hogar", "Taza", 9, ()), ("Regalos", "Caja de regalo", 35, (12, 1)),
    ),
    "EN": (
        ("Shoes", "Sneakers", 62, ()), ("Shoes", "Winter boots", 95, (10, 11, 12, 1)),
        ("Clothes", "T-shirt", 18, (5, 6, 7, 8)), ("Clothes", "Jacket", 110, (9, 10, 11, 3)),
        ("Accessories", "Scarf", 15, (10, 11, 12)), ("Home", "Blanket", 29, (10, 11, 12)),
        ("Home", "Mug", 9, ()),
    ),
}  # fmt: skip
BRANDS = ("Norden", "Solana", "Vela", "Кедр", "Ñandú", "Arco")
COLOURS = {
    "RU": ("чёрный", "белый", "синий", "красный"),
    "ES": ("negro", "blanco", "azul", "rojo"),
    "EN": ("black", "white", "blue", "red"),
}
COMMENTS = {
    "RU": ("Позвоните за час", "Домофон не работает", "Без звонка", "Оставить у двери, спасибо!"),
    "ES": ("Llamar antes de entregar", "Dejar en portería", "¿Puede ser por la tarde?"),
    "EN": ("Please ring twice", "Leave at the door", "No calls, text only"),
}
RATES = {"RUB": 92.0, "EUR": 1.0, "MXN": 19.5, "USD": 1.08}
