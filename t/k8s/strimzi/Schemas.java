/*
 * JSON Schemas of Strimzi's custom resources, version v1, from the classes of
 * io.strimzi:api. Strimzi's own generator makes the CRDs from the same classes
 * and their annotations; it is not published, so this does what is needed of it:
 * names, types, enumerations, required fields, bounds and patterns. Fields that
 * are not named are refused. (Left out: "one of" and CEL rules.)
 */
import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.annotation.JsonSubTypes;
import com.fasterxml.jackson.databind.JavaType;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.introspect.AnnotatedMember;
import com.fasterxml.jackson.databind.introspect.BeanPropertyDefinition;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fabric8.kubernetes.api.model.IntOrString;
import io.fabric8.kubernetes.api.model.Quantity;
import io.strimzi.api.kafka.model.kafka.Kafka;
import io.strimzi.api.kafka.model.nodepool.KafkaNodePool;
import io.strimzi.api.kafka.model.topic.KafkaTopic;
import io.strimzi.api.kafka.model.user.KafkaUser;
import io.strimzi.crdgenerator.annotations.Maximum;
import io.strimzi.crdgenerator.annotations.Minimum;
import io.strimzi.crdgenerator.annotations.MinimumItems;
import io.strimzi.crdgenerator.annotations.Pattern;
import io.strimzi.crdgenerator.annotations.PresentInVersions;
import io.strimzi.crdgenerator.annotations.RequiredInVersions;
import java.lang.annotation.Annotation;
import java.util.Collection;
import java.util.Map;

public final class Schemas {
    private final ObjectMapper json = new ObjectMapper();
    private final ObjectNode defs = json.createObjectNode();

    public static void main(String[] args) throws Exception {
        Schemas all = new Schemas();
        ObjectNode out = all.json.createObjectNode();
        for (Class<?> kind : new Class<?>[] {
            Kafka.class, KafkaNodePool.class, KafkaTopic.class, KafkaUser.class}) {
            out.set(kind.getSimpleName(), all.schema(all.json.constructType(kind)));
        }
        out.set("$defs", all.defs);
        all.json.writeValue(System.out, out);
    }

    private ObjectNode schema(JavaType type) {
        Class<?> raw = type.getRawClass();
        ObjectNode node = json.createObjectNode();
        if (raw == String.class) {
            return node.put("type", "string");
        } else if (raw == Boolean.class || raw == boolean.class) {
            return node.put("type", "boolean");
        } else if (raw == Integer.class || raw == int.class || raw == Long.class
                || raw == long.class) {
            return node.put("type", "integer");
        } else if (raw == Double.class || raw == double.class) {
            return node.put("type", "number");
        } else if (raw == IntOrString.class || raw == Quantity.class) {
            node.putArray("type").add("integer").add("number").add("string");
            return node;
        } else if (raw.isEnum()) {
            ArrayNode values = node.putArray("enum");
            for (Object value : raw.getEnumConstants()) {
                values.add(json.valueToTree(value));
            }
            return node;
        } else if (Map.class.isAssignableFrom(raw)) {
            node.put("type", "object");
            node.set("additionalProperties", schema(type.getContentType()));
            return node;
        } else if (Collection.class.isAssignableFrom(raw) || raw.isArray()) {
            node.put("type", "array");
            node.set("items", schema(type.getContentType()));
            return node;
        } else if (raw == Object.class) {
            return node;
        }
        return node.put("$ref", "#/$defs/" + define(type));
    }

    // A class is a definition of its own: some of Kubernetes' contain themselves.
    private String define(JavaType type) {
        String name = type.getRawClass().getName();
        if (!defs.has(name)) {
            ObjectNode node = json.createObjectNode();
            defs.set(name, node);
            describe(type, node);
        }
        return name;
    }

    // A class with subtypes has the fields of all of them, as in the CRDs.
    private void describe(JavaType type, ObjectNode node) {
        JsonSubTypes subtypes = type.getRawClass().getAnnotation(JsonSubTypes.class);
        ObjectNode properties = node.put("type", "object").putObject("properties");
        ArrayNode required = json.createArrayNode();
        addProperties(type, properties, required);
        if (subtypes != null) {
            ArrayNode names = json.createArrayNode();
            for (JsonSubTypes.Type one : subtypes.value()) {
                names.add(one.name());
                addProperties(json.constructType(one.value()), properties, null);
            }
            properties.putObject("type").set("enum", names);
        }
        if (!required.isEmpty()) {
            node.set("required", required);
        }
        node.put("additionalProperties", false);
    }

    private void addProperties(JavaType type, ObjectNode properties, ArrayNode required) {
        for (BeanPropertyDefinition property : json.getSerializationConfig()
                .introspect(type).findProperties()) {
            AnnotatedMember member = property.getAccessor();
            PresentInVersions present = find(property, PresentInVersions.class);
            if (property.getName().equals("additionalProperties")
                    || present != null && !coversV1(present.value())) {
                continue;
            }
            ObjectNode schema = schema(member.getType());
            constrain(property, schema);
            properties.set(property.getName(), schema);
            if (required != null && isRequired(property)) {
                required.add(property.getName());
            }
        }
    }

    private void constrain(BeanPropertyDefinition property, ObjectNode schema) {
        Minimum minimum = find(property, Minimum.class);
        Maximum maximum = find(property, Maximum.class);
        MinimumItems items = find(property, MinimumItems.class);
        Pattern pattern = find(property, Pattern.class);
        if (minimum != null) {
            schema.put("minimum", minimum.value());
        }
        if (maximum != null) {
            schema.put("maximum", maximum.value());
        }
        if (items != null) {
            schema.put("minItems", items.value());
        }
        if (pattern != null) {
            schema.put("pattern", pattern.value());
        }
    }

    private static boolean isRequired(BeanPropertyDefinition property) {
        RequiredInVersions versions = find(property, RequiredInVersions.class);
        JsonProperty always = find(property, JsonProperty.class);
        return versions != null && coversV1(versions.value())
            || always != null && always.required();
    }

    // "v1", "v1beta2+", "v1beta1-v1", "all"
    private static boolean coversV1(String range) {
        return range.equals("all") || range.equals("v1") || range.endsWith("+")
            || range.endsWith("-v1");
    }

    private static <A extends Annotation> A find(BeanPropertyDefinition property, Class<A> what) {
        if (property.getGetter() != null && property.getGetter().getAnnotation(what) == null
                && property.getGetter().getAnnotated().getAnnotation(what) != null) {
            return property.getGetter().getAnnotated().getAnnotation(what);
        }
        return property.getAccessor().getAnnotated().getAnnotation(what);
    }
}
